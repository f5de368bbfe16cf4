"""The web page in a real Chromium: how it is opened, fed and looked at."""

import base64
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# WebGL in software: neither needs a GPU nor is refused for want of one.
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
QUIET = ("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", *SOFTWARE_GL)  # fmt: skip
SETTLED = "main[data-state=done], main[data-state=error]"
DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, type, data] of files)
    transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name, {type}));
  document.querySelector("#drop").dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true}));
}"""
COLOURS = """id => {
  const c = document.getElementById(id), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data, seen = new Set();
  for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
  return {size: [c.width, c.height], opaque: d[3] === 255, colours: seen.size};
}"""  # noqa: E501
PIXELS = """id => {
  const c = document.getElementById(id);
  return [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data];
}"""
CLOUD = """async () => {
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
  const cloud = document.getElementById("cloud"), copy = document.createElement("canvas");
  const [w, h] = [copy.width, copy.height] = [cloud.width, cloud.height];
  const context = copy.getContext("2d");
  context.drawImage(cloud, 0, 0);
  const d = context.getImageData(0, 0, w, h).data;
  let drawn = 0, sum = 0;
  for (let i = 0; i < d.length; i += 4) {
    if (d[i] !== 13 || d[i + 1] !== 14 || d[i + 2] !== 19) drawn++;
    sum = (sum * 31 + (d[i] << 16 | d[i + 1] << 8 | d[i + 2])) >>> 0;
  }
  return {drawn: drawn / (w * h), sum};
}"""
NO_WEBGL = """const getContext = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind === "webgl" ? null : getContext.call(this, kind, ...rest);
};"""


def textured_wall(width: int, height: int) -> np.ndarray:
    """A far wall full of corners: uint8 RGB [height, width, 3]."""
    rng = np.random.default_rng(7)
    image = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3)).astype(np.uint8), (0, 0), 4)
    image = cv2.normalize(image, None, 40, 215, cv2.NORM_MINMAX)
    for _ in range(220):
        x, y, size = rng.integers(0, width), rng.integers(0, height), rng.integers(5, 22)
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.rectangle(image, (int(x), int(y)), (int(x + size), int(y + size)), colour, -1)
    return image


def file_bytes(image: np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def dropped(*files: tuple[str, str, bytes]) -> list[list[str]]:
    return [[name, kind, base64.b64encode(data).decode()] for name, kind, data in files]


@contextmanager
def running_chromium() -> Iterator[Any]:
    """A headless browser that draws WebGL in software. Without one the test is skipped, or fails where all must run."""
    if CHROMIUM is None:
        reason = "a page's test needs the package chromium (apt-get install chromium)"
        if os.environ.get("POLYVIEW_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, headless=True, args=list(QUIET))
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, service_url: str, script: str = "") -> Iterator[Any]:
    """A fresh page, after `script` has run in it.

    `view.problems` collects console errors, uncaught exceptions and requests to other hosts.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    view = context.new_page()
    if script:
        view.add_init_script(script)
    view.set_default_timeout(60_000)
    view.problems = []
    view.on("console", lambda message: view.problems.append(message.text) if message.type == "error" else None)
    view.on("pageerror", lambda error: view.problems.append(str(error)))
    local = (service_url, "blob:", "data:")
    view.on("request", lambda r: None if r.url.startswith(local) else view.problems.append(f"foreign request {r.url}"))
    view.goto(f"{service_url}/")
    view.wait_for_selector("#perceive-model option", state="attached")
    yield view
    context.close()


def reachable(page: Any, most: int = 60) -> list[str]:
    """Ids of what Tab reaches, in order, from the choice of files on until it comes round again."""
    page.focus("#files")
    reached = ["files"]
    while len(reached) < most:
        page.keyboard.press("Tab")
        name = str(page.evaluate("document.activeElement.id"))
        if name == "files":
            break
        reached.append(name)
    return reached
