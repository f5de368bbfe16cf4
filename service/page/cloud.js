// The point cloud of a photograph: turned by dragging, keys and buttons, and slowly by itself until it is touched.

import { pointRenderer } from "./cloud_gl.js";
import { pick, unproject, writePly } from "./cloud_points.js";
import { $ } from "./dom.js";

const MOST_POINTS = 320_000;
const SWAY = { seconds: 14, yaw: 0.42, pitch: 0.07 };
const PITCH_LIMIT = 1.4, ZOOM = [0.25, 8], STEP = Math.PI / 36;
const canvas = $("cloud"), still = matchMedia("(prefers-reduced-motion: reduce)");
let renderer, map = null, points = null, coloursOf = null;
let view = start(), turning = false, phase = 0, last = 0, visible = false, asked = false;

/** As the photograph was taken, with the middle of the map in the middle. */
function start() {
  const { width, height, centre: [u, v] } = map ?? { width: 0, height: 0, centre: [0.5, 0.5] };
  return { yaw: 0, pitch: 0, zoom: 1, pan: [(u - 0.5) * width, (v - 0.5) * height] };
}

/**
 * @param {Object|null} depthMap as unproject takes it; null hides the cloud
 * @param {Array<{value: string, label: string}>} colourings the first is shown
 * @param {(value: string) => Uint8ClampedArray} colours RGBA of the map in a colouring
 */
export function showCloud(depthMap, colourings = [], colours = null) {
  map = depthMap;
  coloursOf = colours;
  $("panel-cloud").hidden = !map;
  if (!map) {
    points = null;
    return;
  }
  renderer ??= pointRenderer(canvas);
  $("cloud-missing").hidden = Boolean(renderer);
  canvas.hidden = $("cloud-tools").hidden = $("cloud-keys").hidden = !renderer;
  points = { ...map, ...unproject(map, MOST_POINTS) };
  $("cloud-colours").replaceChildren(...colourings.map(({ value, label }) => new Option(label, value)));
  canvas.ariaLabel = `Point cloud of the photograph, ${points.pixels.length} points. Arrow keys turn it, plus and minus zoom, 0 shows it from where it was taken.`;
  view = start();
  phase = 0;
  if (!renderer) return;
  renderer.load(points);
  turn(!still.matches);
  recolourCloud();
}

/** Whether the result on the page has a point cloud. */
export const hasCloud = () => points !== null;

/** Read the colours again, after a map has changed. */
export function recolourCloud() {
  if (!points || !renderer) return;
  renderer.colour(pick(points.pixels, coloursOf($("cloud-colours").value)));
  redraw();
}

/** The cloud in the colours shown, one point for every pixel of the map, as a PLY file. */
export function cloudFile() {
  const { positions, pixels } = unproject(map);
  return writePly(positions, pick(pixels, coloursOf($("cloud-colours").value)));
}

function turn(on) {
  turning = on;
  last = 0;
  $("cloud-turn").ariaPressed = String(on);
  redraw();
}

function redraw() {
  if (asked || !points || !renderer) return;
  asked = true;
  requestAnimationFrame(frame);
}

function frame(now) {
  asked = false;
  if (!points) return;
  if (turning) {
    // A slow frame must not make it jump.
    phase += last ? Math.min(now - last, 100) / (1000 * SWAY.seconds) : 0;
    last = now;
    view.yaw = SWAY.yaw * Math.sin(2 * Math.PI * phase);
    view.pitch = SWAY.pitch * Math.sin(4 * Math.PI * phase);
  }
  renderer.draw(view);
  if (turning && visible) redraw();
}

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function move({ yaw = 0, pitch = 0, zoom = 1, pan = [0, 0] }) {
  turn(false);
  view.yaw += yaw;
  view.pitch = clamp(view.pitch + pitch, -PITCH_LIMIT, PITCH_LIMIT);
  view.zoom = clamp(view.zoom * zoom, ...ZOOM);
  view.pan = [view.pan[0] + pan[0], view.pan[1] + pan[1]];
}

function reset() {
  turn(false);
  view = start();
  phase = 0;
}

const held = new Map(); // pointer id -> [x, y]
let before = null; // the view and whether it was turning, when the first pointer came down
const between = () => [...held.values()].reduce(([x, y], [a, b]) => [x + a / held.size, y + b / held.size], [0, 0]);
const spread = () => { const [a, b] = [...held.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  if (!held.size) before = { view: { ...view }, turning };
  held.set(event.pointerId, [event.clientX, event.clientY]);
});
canvas.addEventListener("pointermove", (event) => {
  if (!held.has(event.pointerId) || !points) return;
  const was = between(), apart = held.size > 1 ? spread() : 1;
  held.set(event.pointerId, [event.clientX, event.clientY]);
  const [x, y] = between(), dx = x - was[0], dy = y - was[1];
  const inMap = Math.max(points.width / canvas.clientWidth, points.height / canvas.clientHeight);
  if (held.size > 1) move({ zoom: spread() / Math.max(apart, 1), pan: [dx * inMap, dy * inMap] });
  else if (event.shiftKey) move({ pan: [dx * inMap, dy * inMap] });
  else move({ yaw: (dx / canvas.clientWidth) * Math.PI, pitch: (dy / canvas.clientHeight) * 2 });
});
canvas.addEventListener("pointerup", (event) => {
  held.delete(event.pointerId);
  turn(false);
});
// The browser takes the finger away to scroll the page: then it was not meant for the cloud.
canvas.addEventListener("pointercancel", (event) => {
  held.delete(event.pointerId);
  if (!before) return;
  view = before.view;
  turn(before.turning);
});

// The wheel scrolls the page until the cloud has been taken hold of; pinching a trackpad comes as wheel with Ctrl.
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && document.activeElement !== canvas) return;
  event.preventDefault();
  move({ zoom: Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)) });
}, { passive: false });

const KEYS = {
  ArrowLeft: { yaw: -STEP }, ArrowRight: { yaw: STEP }, ArrowUp: { pitch: -STEP }, ArrowDown: { pitch: STEP },
  "+": { zoom: 1.15 }, "=": { zoom: 1.15 }, "-": { zoom: 1 / 1.15 },
};
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "0" || event.key === "Home") reset();
  else if (KEYS[event.key]) move(KEYS[event.key]);
  else return;
  event.preventDefault();
});
canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
canvas.addEventListener("webglcontextrestored", () => {
  renderer = pointRenderer(canvas);
  if (!points || !renderer) return;
  renderer.load(points);
  recolourCloud();
});

$("cloud-turn").addEventListener("click", () => turn(!turning));
$("cloud-nearer").addEventListener("click", () => move({ zoom: 1.25 }));
$("cloud-farther").addEventListener("click", () => move({ zoom: 0.8 }));
$("cloud-reset").addEventListener("click", reset);
$("cloud-colours").addEventListener("change", recolourCloud);
new IntersectionObserver(([entry]) => {
  visible = entry.isIntersecting;
  last = 0;
  redraw();
}).observe(canvas);
new ResizeObserver(() => {
  const sharpness = Math.min(devicePixelRatio, 2);
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * sharpness));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * sharpness));
  if (points && renderer) renderer.draw(view); // at once: setting the size has emptied the canvas
}).observe(canvas);
