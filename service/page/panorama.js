// The result of several photographs: the panorama, its masks as overlay, and what the report says.

import { followCursor } from "./cursor.js";
import { $, downloadButton, facts, make, size, stages, swatch } from "./dom.js";

const LONGEST = 2400; // pixels on the screen's canvas; the downloads stay full size
const TINTS = [[66, 133, 244], [251, 140, 0], [67, 160, 71], [171, 71, 188], [0, 172, 193], [214, 84, 120], [158, 157, 36]];
const HOLE = [229, 57, 53];
const SEAM = [255, 64, 200];
let shown = null; // {pictures: Map, masks: [{label, tint, canvas, seen}], report}

/** "target_mask_2.png" -> "photograph 3", "warped_target.png" -> "warped target", "hole_mask.png" -> "holes" */
const KNOWN = { "hole_mask.png": "holes", "homography.png": "one homography" };
const TINT = { "hole_mask.png": HOLE, "seam_mask.png": SEAM };
const words = (file) => KNOWN[file] ?? file.replace(/(_mask)?\.png$/, "").replaceAll("_", " ");
const label = (file) => {
  const index = /_(\d+)\.png$/.exec(file)?.[1];
  return index === undefined ? words(file) : `${file.startsWith("warped") ? "warped " : ""}photograph ${Number(index) + 1}`;
};

async function bitmap(bytes, scaleTo) {
  const blob = new Blob([bytes], { type: "image/png" });
  return scaleTo ? createImageBitmap(blob, { resizeWidth: scaleTo[0], resizeHeight: scaleTo[1], resizeQuality: "medium" }) : createImageBitmap(blob);
}

/**
 * @param {Map<string, Uint8Array>} files the zip of POST /v1/stitch
 * @param {Blob} archive the zip itself, for the download
 * @param {(error: Error) => void} fail
 * @returns {Promise<{picture: ImageBitmap, reference: number, centre: [number, number]}>} the panorama, at most LONGEST pixels wide or high; the index of its reference;
 *   the centre of its reference as fractions of width and height
 */
export async function showPanorama(files, archive, fail) {
  const report = JSON.parse(new TextDecoder().decode(files.get("report.json")));
  const [width, height] = report.canvas;
  const several = (report.images ?? []).length > 1;
  const scale = Math.min(1, LONGEST / Math.max(width, height));
  const target = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  shown = { pictures: new Map(), masks: [], report };
  let tint = 0;
  for (const [name, bytes] of files) {
    if (/^(panorama|homography|warped_target(_\d+)?)\.png$/.test(name)) shown.pictures.set(name, await bitmap(bytes, target));
    else if (/_mask(_\d+)?\.png$/.test(name)) shown.masks.push(tinted(await bitmap(bytes, target), label(name), TINT[name] ?? TINTS[tint++ % TINTS.length]));
  }
  const late = (mask) => Object.values(TINT).includes(mask.tint);
  shown.masks.sort((a, b) => late(a) - late(b));
  $("panorama-picture").replaceChildren(...[...shown.pictures.keys()].map((name) => make("option", { value: name }, label(name))));
  $("panorama-picture").value = "panorama.png";
  $("masks").replaceChildren(make("legend", {}, "Overlay"), ...shown.masks.map((mask) => {
    mask.box = make("input", { type: "checkbox", onchange: draw });
    return make("label", {}, mask.box, swatch(mask.tint), mask.label);
  }));
  setUpCompare(shown.pictures.get("homography.png"), /^(homography|identical)$/.test(report.method ?? ""));
  $("panorama-readout").textContent = "Point at the panorama, or focus it and use the arrow keys.";
  $("panorama").ariaLabel = `Panorama of ${width} by ${height} pixels`;
  facts($("panorama-facts"), [
    ["Size", size(report.canvas)], ["Offset of the reference", report.offset?.join(", ")],
    ["Overlap", typeof report.overlap === "number" ? `${several ? "at least " : ""}${(100 * report.overlap).toFixed(1)} % of the target` : ""], ["Method", report.method?.replaceAll("+", ", ").replaceAll("_", " ")],
    ["Gain (r, g, b)", report.gain && !several ? report.gain.map((g) => Number(g).toFixed(3)).join(", ") : ""],
    ["Clipped", typeof report.clipped === "number" && !several ? `${(100 * report.clipped).toFixed(2)} %` : ""],
    ["Reference", several ? `photograph ${report.reference_index + 1}` : ""],
    ["Time by stage", stages(report.seconds, "s")],
  ]);
  const downloads = [...files.keys()].filter((name) => name === "panorama.png" || name.endsWith(".npz"));
  $("panorama-downloads").replaceChildren(
    ...downloads.map((name) => downloadButton(`Download ${name}`, name, () => new Blob([files.get(name)]), fail)),
    downloadButton("Download everything (.zip)", "panorama.zip", () => archive, fail),
  );
  $("panorama-result").hidden = false;
  cursor.hide();
  draw();
  const kept = shown.masks.find((mask) => mask.label === "reference");
  return { picture: shown.pictures.get("panorama.png"), reference: report.reference_index ?? 0, centre: kept.centre() };
}

/** Forget the result. */
export function hidePanorama() {
  shown = null;
  $("panorama-result").hidden = true;
}

/** The middle of an upright rectangle in a mask, as fractions of width and height. */
function middle(seen, width, height) {
  let left = width, top = height, right = -1, bottom = -1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!seen(x, y)) continue;
      left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
    }
  }
  return right < 0 ? [0.5, 0.5] : [(left + right + 1) / (2 * width), (top + bottom + 1) / (2 * height)];
}

/** A mask as a picture of one colour whose opacity is the mask, and a look-up of single pixels. */
function tinted(mask, name, tint) {
  const canvas = make("canvas", { width: mask.width, height: mask.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(mask, 0, 0);
  const image = context.getImageData(0, 0, mask.width, mask.height);
  for (let i = 0; i < image.data.length; i += 4) {
    image.data[i + 3] = image.data[i];
    image.data.set(tint, i);
  }
  context.putImageData(image, 0, 0);
  const seen = (x, y) => image.data[4 * (y * mask.width + x) + 3] > 127;
  return { label: name, tint, canvas, seen, centre: () => middle(seen, mask.width, mask.height) };
}

function draw() {
  if (!shown) return;
  const comparing = compares();
  const picture = shown.pictures.get(comparing ? "panorama.png" : $("panorama-picture").value);
  const canvas = Object.assign($("panorama"), { width: picture.width, height: picture.height });
  $("stage").style.setProperty("--ratio", picture.width / picture.height);
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  context.globalAlpha = $("mask-opacity").value / 100;
  for (const mask of shown.masks) if (mask.box.checked) context.drawImage(mask.canvas, 0, 0);
  context.globalAlpha = 1;
  $("plain").hidden = $("cut-label").hidden = !comparing;
  $("picture-choice").hidden = comparing;
  document.querySelectorAll("#stage .side, #stage .divider").forEach((part) => { part.hidden = !comparing; });
  $("same-note").hidden = !(comparing && shown.same);
  if (comparing) cut();
}

const compares = () => document.querySelector("input[name=panorama-view]:checked").value === "compare";

/** Offer the slider where the answer has the plain homography's picture; `same`: the panorama is that homography's. */
function setUpCompare(plain, same) {
  shown.same = same;
  $("panorama-views").hidden = !plain;
  document.querySelector("input[name=panorama-view][value=single]").checked = true;
  if (!plain) return;
  Object.assign($("plain"), { width: plain.width, height: plain.height }).getContext("2d").drawImage(plain, 0, 0);
}

/** Show the plain homography left of where the slider stands. */
function cut() {
  const share = Number($("cut").value);
  $("stage").style.setProperty("--cut", `${share}%`);
  $("cut").setAttribute("aria-valuetext", `${share} % plain homography, ${100 - share} % Polyview`);
}

function describe(u, v) {
  if (!shown) return;
  const { canvas, offset } = shown.report;
  const x = Math.floor(u * canvas[0]), y = Math.floor(v * canvas[1]), screen = $("panorama");
  const seen = shown.masks.filter((mask) => mask.seen(Math.floor(u * screen.width), Math.floor(v * screen.height)));
  const item = (...content) => make("span", { className: "item" }, ...content);
  $("panorama-readout").replaceChildren(
    item("canvas ", make("b", {}, `${x}, ${y}`)),
    ...(offset ? [item("in the reference ", make("b", {}, `${x - offset[0]}, ${y - offset[1]}`))] : []),
    ...(seen.length ? seen.map((mask) => item(swatch(mask.tint), mask.label)) : [item("outside every photograph")]),
  );
}

const cursor = followCursor([$("panorama")], describe);
$("panorama-picture").addEventListener("change", draw);
$("mask-opacity").addEventListener("input", draw);
$("cut").addEventListener("input", cut);
document.querySelectorAll("input[name=panorama-view]").forEach((input) => input.addEventListener("change", () => { cursor.hide(); draw(); }));
for (const name of ["pointerdown", "pointermove"]) {
  $("panorama").addEventListener(name, (event) => {
    if (!compares() || !event.buttons) return;
    const box = $("panorama").getBoundingClientRect();
    $("cut").value = (100 * (event.clientX - box.left)) / box.width;
    cut();
  });
}
