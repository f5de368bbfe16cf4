"""The pictures of the web page in docs/page.md, taken in Chromium from a running service.

    python -m benchmarks.page_pictures [--url http://127.0.0.1:3000] [--out docs/pictures]

Only the page's own samples are on them. Writes page-photo.jpg, page-panorama.jpg, page-phone.jpg (dark) and
page-start.jpg.
"""

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.served import served

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SOFTWARE_GL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
FLAGS = ("--no-sandbox", "--no-first-run", "--disable-background-networking", *SOFTWARE_GL)
PATIENCE_MS = 300_000
QUALITY = 82


def settled(page: Any, sample: str) -> None:
    """Ask for a sample and wait for its result. Raises ValueError with the page's words if it is refused."""
    page.click(f'#samples button[data-files^="{sample}"]')
    page.wait_for_selector("main[data-state=done], main[data-state=error]")
    if page.locator("#error").is_visible():
        raise ValueError(f"{sample}: expected a result, found: {page.locator('#error').inner_text()}")


def photo(page: Any) -> None:
    """One photograph, its point cloud turned a little."""
    settled(page, "bedroom")
    page.locator("#cloud").focus()
    for key in ("0", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    page.locator("#cloud").blur()


def panorama(page: Any) -> None:
    """Two photographs, by one homography left of the slider, and where the seam is."""
    settled(page, "square")
    page.get_by_text("before / after").click()
    page.get_by_text("seam").click()
    page.locator("#cut").fill("56")


def start(page: Any) -> None:
    """The page as it opens."""


SHOTS: dict[str, tuple[Callable[[Any], None], tuple[int, int], str]] = {
    "page-start": (start, (1280, 760), "light"),
    "page-photo": (photo, (1280, 1180), "light"),
    "page-panorama": (panorama, (1280, 900), "light"),
    "page-phone": (photo, (390, 844), "dark"),
}


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium. Raises ValueError where none is installed."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise ValueError(f"expected one of {', '.join(CHROMIUM)} on the PATH, found none")
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=found, args=list(FLAGS))
        yield chromium
        chromium.close()


def main() -> None:
    """Take the pictures (command line)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page_pictures", description=main.__doc__)
    parser.add_argument("--url", help="a running service; without it one is started")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    with served(options.url) as url, browser() as chromium:
        for name, (prepare, (width, height), scheme) in SHOTS.items():
            phone = name == "page-phone"
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
                has_touch=phone,
                is_mobile=phone,
            )
            page = context.new_page()
            page.set_default_timeout(PATIENCE_MS)
            page.goto(url)
            page.wait_for_selector("#perceive-model option", state="attached")
            page.wait_for_load_state("networkidle")
            prepare(page)
            page.wait_for_timeout(500)
            page.screenshot(path=options.out / f"{name}.jpg", type="jpeg", quality=QUALITY)
            context.close()


if __name__ == "__main__":
    main()
