// Small helpers for the page's elements.

export const $ = (id) => document.getElementById(id);

/** Make an element: `make("li", {className: "x"}, "text", child)`. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A coloured square for legends. */
export function swatch([r, g, b]) {
  const square = make("i", { className: "swatch" });
  square.style.background = `rgb(${r} ${g} ${b})`;
  return square;
}

/** Fill a <dl> from [term, text] pairs; empty texts are left out. */
export function facts(list, pairs) {
  list.replaceChildren(...pairs.filter(([, text]) => text).map(([term, text]) => make("div", { className: text.length > 40 ? "long" : "" }, make("dt", {}, term), make("dd", {}, text))));
}

/** Put RGBA pixels on a canvas of their size. */
export function paint(canvas, pixels, width, height) {
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** Offer bytes as a file to keep. */
export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A download button; `load` gives the Blob, now or later, and a failure goes to `fail`. */
export function downloadButton(label, name, load, fail) {
  const button = make("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    $("error").hidden = true;
    try {
      save(await load(), name);
    } catch (error) {
      fail(error);
    } finally {
      button.ariaBusy = "false";
    }
  });
  return button;
}

/** Name of a file without its ending. */
export const stem = (name) => name.replace(/\.[^.]*$/, "") || "photograph";

/** A pair of numbers as a size. */
export const size = ([width, height]) => `${width} × ${height}`;

/** Durations by stage as one line; `unit` is "ms" or "s". */
export function stages(durations, unit) {
  const digits = unit === "ms" ? 0 : 2;
  const parts = Object.entries(durations ?? {}).filter(([, value]) => typeof value === "number");
  return parts.map(([stage, value]) => `${stage.replaceAll("_", " ")} ${value.toFixed(digits)} ${unit}`).join(" · ");
}
