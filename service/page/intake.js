// Where photographs come in: the file picker, drag and drop anywhere on the page, paste, and the samples.

import { $ } from "./dom.js";

/** @param {(files: File[], add: boolean) => void} chosen called with at least one file; `add` asks to append */
export function takeFiles(chosen) {
  let add = false;
  const drop = $("drop"), picker = $("files");
  const give = (list) => {
    const files = [...list];
    if (files.length) chosen(files, add);
    add = false;
  };
  picker.addEventListener("change", () => {
    give(picker.files);
    picker.value = ""; // so that the same file can be chosen again
  });
  picker.addEventListener("cancel", () => { add = false; });
  $("add").addEventListener("click", () => {
    add = true;
    picker.click();
  });
  let depth = 0;
  addEventListener("dragenter", (event) => { event.preventDefault(); depth++; drop.classList.add("over"); });
  addEventListener("dragleave", () => { if (--depth <= 0) drop.classList.remove("over"); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    give(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData.files.length) {
      event.preventDefault();
      give(event.clipboardData.files);
    }
  });
}

/**
 * @param {(files: File[], add: boolean) => void} chosen
 * @param {(error: Error) => void} fail
 */
export function takeSamples(chosen, fail) {
  $("samples").addEventListener("click", async (event) => {
    const names = event.target.closest("button")?.dataset.files.split(" ");
    if (!names) return;
    try {
      chosen(await Promise.all(names.map(fetchSample)), false);
    } catch (error) {
      fail(error);
    }
  });
}

async function fetchSample(name) {
  const answer = await fetch(new URL(`samples/${name}.jpg`, import.meta.url));
  if (!answer.ok) throw new Error(`The sample ${name} answered with status ${answer.status}.`);
  return new File([await answer.blob()], `${name}.jpg`, { type: "image/jpeg" });
}
