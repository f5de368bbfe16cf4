// The result of one photograph: the photograph and the maps that the model has, side by side or as overlay.

import { recolourCloud, showCloud } from "./cloud.js";
import { colourClasses, colourDepth, colourNormals, colourProbability, defaultPalette, normalColour, RAMP } from "./colours.js";
import { followCursor } from "./cursor.js";
import { $, facts, make, paint, size, stages, swatch } from "./dom.js";

const MAPS = ["depth", "segmentation", "normals", "parts", "saliency", "edges"];
const PROBABILITIES = ["saliency", "edges"];
const GREY = [128, 128, 128];
let shown = null; // the map of every task or null, and {width, height, classes, palette, partClasses, partPalette, full, picture, highlighted, rgba: bytes of the maps as drawn}

/**
 * @param {Object} arrays as from readNpz: one per task, and meta
 * @param {CanvasImageSource|null} picture the photograph; null where the browser cannot read it as the service does
 * @param {(model: string) => Object} tasksOf what /v1/models says of a model's tasks
 * @param {string} title
 * @param {[number, number]} centre principal point as fractions of width and height
 */
export function showMaps(arrays, picture, tasksOf, title, centre = [0.5, 0.5]) {
  const meta = JSON.parse(arrays.meta?.data ?? "{}");
  const present = MAPS.filter((name) => arrays[name]);
  const [height, width] = arrays[present[0]].shape;
  const classes = meta.classes ?? [], partClasses = meta.part_classes ?? [], tasks = tasksOf(meta.model);
  const colours = (task, names) => tasks[task]?.palette ?? defaultPalette(Math.max(names.length, 1));
  shown = { width, height, classes, partClasses, full: meta.size ?? [width, height], picture, palette: colours("segmentation", classes), partPalette: colours("parts", partClasses), highlighted: null, rgba: {} };
  for (const name of MAPS) {
    shown[name] = arrays[name]?.data ?? null;
    $(`panel-${name}`).hidden = !arrays[name];
  }
  $("photo-title").textContent = title;
  $("side").style.setProperty("--ratio", width / height);
  $("readout").textContent = "Point at a map, or focus one and use the arrow keys.";
  $("overlay-map").replaceChildren(...present.map((name) => make("option", { value: name }, name)));
  drawPicture();
  if (shown.depth) drawDepth();
  if (shown.normals) drawNormals();
  drawSegmentation();
  if (shown.parts) drawParts();
  for (const name of PROBABILITIES) if (shown[name]) drawProbability(name);
  drawOverlay();
  $("photo-result").hidden = false;
  drawCloud(meta, centre);
  const source = { request: "given", exif: "from EXIF", default: "assumed" }[meta.focal_source] ?? meta.focal_source;
  facts($("photo-facts"), [
    ["Model", meta.model], ["Maps shown", size([width, height])], ["Photograph", meta.size ? size(meta.size) : ""],
    ["Focal length", meta.focal_px ? `${Number(meta.focal_px).toFixed(1)} px (${source})` : ""], ["Time by stage", stages(meta.timings, "ms")],
  ]);
  cursor.hide();
}

/** Forget the result. */
export function hideMaps() {
  shown = null;
  showCloud(null);
  $("photo-result").hidden = true;
}

function drawCloud(meta, centre) {
  if (!shown.depth || !meta.focal_px) return showCloud(null);
  const { depth, width, height } = shown;
  const named = [["photo", "photograph", shown.picture], ["depth", "depth", shown.depth], ["segmentation", "classes", shown.segmentation], ["normals", "normals", shown.normals]];
  const colourings = named.filter(([, , there]) => there).map(([value, label]) => ({ value, label }));
  showCloud(
    { depth, width, height, focal: (meta.focal_px * width) / shown.full[0], centre },
    colourings,
    (value) => (shown.rgba[value] ??= $(`map-${value}`).getContext("2d").getImageData(0, 0, width, height).data),
  );
}

function drawPicture() {
  $("panel-photo").hidden = !shown.picture;
  if (!shown.picture) return;
  const canvas = Object.assign($("map-photo"), { width: shown.width, height: shown.height, ariaLabel: "The photograph" });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // what the service lays under transparent pixels
  context.fillRect(0, 0, shown.width, shown.height);
  context.drawImage(shown.picture, 0, 0, shown.width, shown.height);
}

function drawDepth() {
  const { pixels, near, far } = colourDepth(shown.depth);
  paint($("map-depth"), (shown.rgba.depth = pixels), shown.width, shown.height);
  $("map-depth").ariaLabel = `Depth map, mostly ${near.toFixed(2)} to ${far.toFixed(2)} metres`;
  $("depth-near").textContent = `${near.toFixed(2)} m`;
  $("depth-far").textContent = `${far.toFixed(2)} m`;
  const scale = new Uint8ClampedArray(4 * 256).fill(255);
  for (let i = 0; i < 256; i++) scale.set(RAMP.subarray(3 * i, 3 * i + 3), 4 * i);
  paint($("depth-scale"), scale, 256, 1);
}

function drawNormals() {
  paint($("map-normals"), (shown.rgba.normals = colourNormals(shown.normals)), shown.width, shown.height);
  $("map-normals").ariaLabel = "Map of surface normals";
  const pixels = new Uint8ClampedArray(4 * 56 * 56);
  for (let i = 0; i < 56 * 56; i++) {
    const x = ((i % 56) - 27.5) / 27, y = (Math.floor(i / 56) - 27.5) / 27, rest = 1 - x * x - y * y;
    if (rest > 0) pixels.set([...normalColour(x, y, -Math.sqrt(rest)), 255], 4 * i);
  }
  paint($("normals-ball"), pixels, 56, 56);
}

function drawSegmentation() {
  $("legend-box").hidden = !shown.segmentation;
  if (!shown.segmentation) return;
  const { segmentation, depth, classes, palette } = shown;
  paint($("map-segmentation"), (shown.rgba.segmentation = colourClasses(segmentation, palette, shown.highlighted, depth)), shown.width, shown.height);
  const counts = new Array(256).fill(0);
  let total = 0;
  for (let i = 0; i < segmentation.length; i++) if (!depth || depth[i] > 0) { counts[segmentation[i]]++; total++; }
  const order = [...counts.keys()].filter((id) => counts[id]).sort((a, b) => counts[b] - counts[a]);
  const name = (id) => classes[id] ?? `class ${id}`;
  $("map-segmentation").ariaLabel = `Segmentation: ${order.slice(0, 4).map(name).join(", ")}`;
  $("legend").replaceChildren(...order.map((id) => {
    const share = (100 * counts[id]) / total;
    const button = make("button", { type: "button", title: `Show only ${name(id)}` }, swatch(palette[id] ?? GREY), name(id), make("small", {}, share < 1 ? "< 1 %" : `${share.toFixed(0)} %`));
    button.dataset.id = id;
    button.ariaPressed = String(shown.highlighted === id);
    return make("li", {}, button);
  }));
}

function drawParts() {
  const { parts, depth, partClasses, partPalette } = shown;
  paint($("map-parts"), colourClasses(parts, partPalette, null, depth), shown.width, shown.height);
  const present = [...new Set(parts)].sort((a, b) => a - b);
  const name = (id) => partClasses[id] ?? `part ${id}`;
  $("map-parts").ariaLabel = `Parts: ${present.map(name).join(", ")}`;
  $("parts-key").replaceChildren(...present.map((id) => make("span", {}, swatch(partPalette[id] ?? GREY), name(id))));
}

function drawProbability(name) {
  paint($(`map-${name}`), colourProbability(shown[name], shown.depth), shown.width, shown.height);
  $(`map-${name}`).ariaLabel = `Map of ${name}, from black (0 %) to white (100 %)`;
}

function drawOverlay() {
  const overlay = document.querySelector("input[name=view]:checked").value === "overlay";
  $("overlay").hidden = $("overlay-controls").hidden = !overlay;
  $("side").hidden = overlay;
  if (overlay) $("overlay").after($("legend-box"));
  else $("side").append($("legend-box"));
  if (!overlay || !shown) return;
  const canvas = Object.assign($("map-overlay"), { width: shown.width, height: shown.height });
  canvas.style.setProperty("--ratio", shown.width / shown.height);
  const name = $("overlay-map").value, context = canvas.getContext("2d");
  canvas.ariaLabel = `The photograph under its ${name} map`;
  if (shown.picture) context.drawImage($("map-photo"), 0, 0);
  context.globalAlpha = $("opacity").value / 100;
  context.drawImage($(`map-${name}`), 0, 0);
  context.globalAlpha = 1;
}

function describe(u, v) {
  if (!shown) return;
  const x = Math.floor(u * shown.width), y = Math.floor(v * shown.height), i = y * shown.width + x;
  const item = (...content) => make("span", { className: "item" }, ...content);
  const parts = [];
  if (shown.depth && !(shown.depth[i] > 0)) {
    parts.push(item("outside the picture"));
  } else {
    if (shown.segmentation) parts.push(item(swatch(shown.palette[shown.segmentation[i]] ?? GREY), make("b", {}, shown.classes[shown.segmentation[i]] ?? `class ${shown.segmentation[i]}`)));
    if (shown.parts) parts.push(item(swatch(shown.partPalette[shown.parts[i]] ?? GREY), make("b", {}, shown.partClasses[shown.parts[i]] ?? `part ${shown.parts[i]}`)));
    if (shown.depth) parts.push(item(make("b", {}, `${shown.depth[i].toFixed(2)} m`)));
    if (shown.normals) {
      const normal = shown.normals.subarray(3 * i, 3 * i + 3);
      parts.push(item("normal ", swatch(normalColour(...normal)), make("b", {}, [...normal].map((c) => c.toFixed(2).replace("-", "−")).join(", "))));
    }
    for (const name of PROBABILITIES) if (shown[name]) parts.push(item(`${name} `, make("b", {}, `${(100 * shown[name][i]).toFixed(0)} %`)));
  }
  $("readout").replaceChildren(...parts, item(`at ${Math.floor(u * shown.full[0])}, ${Math.floor(v * shown.full[1])}`));
}

const cursor = followCursor(["photo", ...MAPS, "overlay"].map((name) => $(`map-${name}`)), describe);

$("legend").addEventListener("click", (event) => {
  const id = Number(event.target.closest("button")?.dataset.id ?? NaN);
  if (!shown || Number.isNaN(id)) return;
  shown.highlighted = shown.highlighted === id ? null : id;
  drawSegmentation();
  recolourCloud();
  drawOverlay();
  $("legend").querySelector(`[data-id="${id}"]`).focus();
});
document.querySelectorAll("input[name=view]").forEach((input) => input.addEventListener("change", () => { cursor.hide(); drawOverlay(); }));
["opacity", "overlay-map"].forEach((id) => $(id).addEventListener("input", drawOverlay));
