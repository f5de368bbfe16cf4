"""The clients of docs/clients.md against a real service: Python as programs, JavaScript in Chromium."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.helpers.pictures import encoded, scene

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "clients.md").read_text(), re.MULTILINE | re.DOTALL)
PYTHON = {text.split("\n")[0]: text for language, text in BLOCKS if language == "python"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.parametrize("first_line", PYTHON)
def test_python(client: httpx.Client, tmp_path: Path, first_line: str) -> None:
    rng = np.random.default_rng(1)
    layers = [np.kron(rng.integers(0, 256, (240 // n, 480 // n, 3)), np.ones((n, n, 1))) for n in (4, 12, 40)]
    world = np.mean(layers, axis=0).astype(np.uint8)
    for name, picture in {"photo": world, "left": world[:, :320], "right": world[:, 120:440]}.items():
        Image.fromarray(picture).save(tmp_path / f"{name}.jpg", quality=95)
    program = PYTHON[first_line].replace("http://localhost:3000", str(client.base_url).rstrip("/"))
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(
        [sys.executable, "-"], input=program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if "httpx" in program:
        lines = done.stdout.splitlines()
        assert lines[0] == "(320, 640) default"
        assert "first.jpg/depth.png" in lines[1]
        assert "second.jpg/depth.png" in lines[1]
    else:
        assert done.stdout == "(240, 480)\n"
        with Image.open(tmp_path / "panorama.jpg") as panorama:
            assert panorama.format == "JPEG"


def test_javascript(client: httpx.Client) -> None:
    if CHROMIUM is None:
        reason = "the JavaScript client's test needs the package chromium (apt-get install chromium)"
        if os.environ.get("POLYVIEW_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    (program,) = (text for language, text in BLOCKS if language == "js")
    url = str(client.base_url).rstrip("/")
    program = program.replace("http://localhost:3000", url)
    page_program = f"""async bytes => {{
      const file = new File([new Uint8Array(bytes)], "photo.png");
      {program}
      let refusal = null;
      try {{ await perceive("{url}", file, {{ format: "gif" }}); }} catch (error) {{ refusal = error.message; }}
      return [preview.type, preview.size, refusal];
    }}"""
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page()
        page.goto(f"{url}/livez")
        media_type, size, refusal = page.evaluate(page_program, list(encoded(scene())))
        chromium.close()
    assert media_type == "image/png"
    assert size > 1000
    assert refusal.startswith("invalid_field: format:")
