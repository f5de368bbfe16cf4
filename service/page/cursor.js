// One cursor over one or several canvases that show the same picture: mouse, touch and arrow keys.

/**
 * Convention: the position is a pair of fractions of width and height in [0, 1), origin top left.
 * @param {HTMLCanvasElement[]} canvases each followed in its frame by an element of class "cross"
 * @param {(u: number, v: number) => void} moved
 */
export function followCursor(canvases, moved) {
  let u = 0.5, v = 0.5;
  const show = () => {
    for (const canvas of canvases) {
      const cross = canvas.nextElementSibling;
      cross.hidden = false;
      cross.style.left = `${canvas.offsetLeft + u * canvas.offsetWidth}px`;
      cross.style.top = `${canvas.offsetTop + v * canvas.offsetHeight}px`;
    }
    moved(u, v);
  };
  const clamp = (x) => Math.min(Math.max(x, 0), 0.999999);
  for (const canvas of canvases) {
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      u = clamp((event.clientX - box.left) / box.width);
      v = clamp((event.clientY - box.top) / box.height);
      show();
    };
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 0.1 : 0.01;
      const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
      if (!move) return;
      event.preventDefault();
      u = clamp(u + move[0]);
      v = clamp(v + move[1]);
      show();
    });
  }
  return {
    /** Hide the crosses, for a new picture. */
    hide: () => canvases.forEach((canvas) => { canvas.nextElementSibling.hidden = true; }),
  };
}
