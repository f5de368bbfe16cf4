// The page: photographs in, one request, its result or its error out.

import { listModels, perceive, ServiceError, stitch } from "./client.js";
import { cloudFile, hasCloud } from "./cloud.js";
import { $, downloadButton, make, stem } from "./dom.js";
import { takeFiles, takeSamples } from "./intake.js";
import { hideMaps, showMaps } from "./maps.js";
import { readNpz } from "./npz.js";
import { hidePanorama, showPanorama } from "./panorama.js";
import { readPicture } from "./picture.js";
import { readZip } from "./zip.js";

const MAP_SIDE = 1024; // longest side of the maps on the screen; downloads are native
const MOST = 16;
let files = [], reference = null, running = null, models = [];
let refused = false; // whether the latest error was a key that is missing or wrong

const key = () => $("key").value.trim();
const state = (name) => { $("app").dataset.state = name; };

async function loadModels() {
  models = await listModels(key());
  for (const kind of ["perceive", "stitch"]) {
    const names = models.filter((model) => model.kind === kind).map((model) => model.name);
    const select = $(`${kind}-model`);
    select.replaceChildren(...(names.length ? names : [""]).map((name) => make("option", { value: name }, name || "none loaded")));
    select.disabled = !names.length;
  }
}

/** At the start and with a new key; runs again what was refused for want of it. */
async function takeKey() {
  try {
    await loadModels();
  } catch (error) {
    return showError(error);
  }
  if (!files.length) {
    $("error").hidden = true;
    state("idle");
  } else if (refused && !$("error").hidden) {
    run();
  }
}

function showError(error) {
  const known = error instanceof ServiceError;
  refused = error.status === 401;
  $("error-message").textContent = known ? error.message : "The answer could not be shown.";
  $("error-hint").textContent = known ? error.hint : error.message;
  $("error-code").textContent = [error.code, error.status || ""].filter(Boolean).join(" · ");
  $("status").textContent = "";
  $("error").hidden = false;
  $("error").scrollIntoView({ block: "nearest" });
  if (refused) {
    $("key-field").hidden = false;
    $("key").focus();
  }
  state("error");
}

function choose(list, add) {
  files = add ? [...files, ...list] : list;
  reference = null;
  showThumbnails();
  run();
}

function showThumbnails(used = reference) {
  $("chosen").hidden = !files.length;
  $("swap").hidden = files.length !== 2;
  document.querySelectorAll("#thumbnails img").forEach((image) => URL.revokeObjectURL(image.src));
  const first = files.length === 2 ? reference ?? 0 : used;
  $("thumbnails").replaceChildren(...files.map((file, i) => {
    const role = files.length === 1 ? "" : i === first ? "reference" : files.length === 2 ? "target" : String(i + 1);
    const image = make("img", { src: URL.createObjectURL(file), alt: "", onerror: () => image.replaceWith("no preview") });
    const button = make("button", { type: "button", disabled: files.length === 1, title: files.length > 1 ? `Use ${file.name} as the reference` : file.name }, image);
    if (role) button.append(make("span", { className: "badge" }, role));
    button.addEventListener("click", () => { reference = i; showThumbnails(); run(); });
    const entry = make("li", {}, button, make("span", { className: "name", title: file.name }, file.name));
    entry.dataset.role = role;
    return entry;
  }));
}

async function run() {
  running?.abort();
  const mine = (running = new AbortController());
  hideMaps();
  hidePanorama();
  $("error").hidden = true;
  $("progress").hidden = false;
  state("busy");
  const started = performance.now(), what = files.length === 1 ? "Looking at the photograph" : `Stitching ${files.length} photographs`;
  const tick = () => { $("progress-seconds").textContent = `${((performance.now() - started) / 1000).toFixed(0)} s`; };
  $("progress-text").textContent = $("status").textContent = `${what} …`;
  tick();
  const clock = setInterval(tick, 1000);
  try {
    if (files.length > MOST) throw new ServiceError(`${files.length} photographs were chosen.`, `A panorama takes 2 to ${MOST}.`);
    if (!models.length) await loadModels();
    const show = files.length === 1 ? await askPhoto(files[0], mine.signal) : await askPanorama(mine.signal);
    if (mine.signal.aborted) return;
    await show();
    state("done");
    $("status").textContent = "Done.";
    const section = $(files.length === 1 ? "photo-result" : "panorama-result");
    section.focus({ preventScroll: true });
    section.scrollIntoView({ block: "start", behavior: "auto" });
  } catch (error) {
    if (!mine.signal.aborted) showError(error);
  } finally {
    clearInterval(clock);
    if (mine === running) $("progress").hidden = true;
  }
}

async function askPhoto(file, signal) {
  if ($("focal").validity.badInput) throw new ServiceError("Focal length: this is not a number.", "Write pixels, as in 1200.5, or leave the field empty.");
  const options = { model: $("perceive-model").value, focal_px: $("focal").value };
  const picture = await readPicture(file);
  const small = picture && Math.max(picture.width, picture.height) <= MAP_SIDE;
  const answer = await perceive(file, { ...options, format: "npz", resolution: small ? "native" : String(MAP_SIDE) }, { key: key(), signal });
  const arrays = await readNpz(await answer.arrayBuffer());
  const [width, height] = JSON.parse(arrays.meta.data).size;
  const alike = picture?.width === width && picture.height === height; // else the browser has turned it otherwise
  return () => {
    showMaps(arrays, alike ? picture : null, tasksOf, file.name);
    const fetched = (format) => async () => (await perceive(file, { ...options, format }, { key: key() })).blob();
    $("photo-downloads").replaceChildren(
      downloadButton("Download arrays (.npz)", `${stem(file.name)}.npz`, fetched("npz"), showError),
      downloadButton("Download maps (.zip of .png)", `${stem(file.name)}.zip`, fetched("png"), showError),
      downloadButton("Download preview (.png)", `${stem(file.name)}-preview.png`, fetched("preview"), showError),
      ...(hasCloud() ? [downloadButton("Download point cloud (.ply)", `${stem(file.name)}.ply`, cloudFile, showError)] : []),
    );
  };
}

async function askPanorama(signal) {
  const options = { model: $("stitch-model").value, format: "zip", profile: $("profile").value, perceive: $("panorama-maps").checked ? "true" : "", inspect: files.length === 2 ? "true" : "" };
  const archive = await (await stitch(files, reference, options, { key: key(), signal })).blob();
  const content = await readZip(await archive.arrayBuffer());
  return async () => {
    const { picture, reference: used, centre } = await showPanorama(content, archive, showError);
    if (files.length > 2) showThumbnails(used);
    const maps = content.get("perceive.npz");
    if (!maps) return;
    showMaps(await readNpz(maps.slice().buffer), picture, tasksOf, "Maps of the panorama", centre);
    $("photo-downloads").replaceChildren(...(hasCloud() ? [downloadButton("Download point cloud (.ply)", "panorama.ply", cloudFile, showError)] : []));
  };
}

const tasksOf = (name) => models.find((model) => model.name === name)?.tasks ?? {};

takeFiles(choose);
takeSamples(choose, showError);
$("again").addEventListener("click", run);
$("swap").addEventListener("click", () => { reference = 1 - (reference ?? 0); showThumbnails(); run(); });
$("cancel").addEventListener("click", () => {
  running?.abort();
  $("progress").hidden = true;
  $("status").textContent = "Cancelled.";
  $("again").focus();
  state("idle");
});
$("key").addEventListener("change", takeKey);
for (const form of ["options", "key-field"]) $(form).addEventListener("submit", (event) => event.preventDefault());
takeKey();
