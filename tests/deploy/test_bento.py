"""`bentoml build`, and the built bento served from an environment with its own requirements alone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.helpers.servers import ROOT, free_port
from tests.test_readme import ADDRESS, blocks, run, talks_to_service, workplace  # noqa: F401 (a fixture)

pytestmark = pytest.mark.full
PREAMBLE = 'set -euo pipefail\ncurl() { command curl --noproxy "*" "$@"; }\n'


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of this project and of this virtual environment."""
    dropped = ("POLYVIEW_", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return kept | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly built bento."""
    home = tmp_path_factory.mktemp("bentoml")
    command = [sys.executable, "-m", "bentoml", "build", "."]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(home), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (path for path in (home / "bentos" / "polyview").iterdir() if path.is_dir())
    return folder


@pytest.fixture(scope="module")
def served(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the bento, served by an environment made of its own requirements, from an empty folder."""
    place = tmp_path_factory.mktemp("clean")
    environment = clean_environment(place / "home")
    base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    python = place / "venv" / "bin" / "python"
    subprocess.run([base, "-m", "venv", place / "venv"], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", bento / "env" / "python" / "requirements.txt"], env=environment, check=True)
    port = free_port()
    command = [python, "-m", "bentoml", "serve", bento, "--host", "127.0.0.1", "--port", str(port)]
    began = time.monotonic()
    with (place / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=place, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            while not ready(url):
                assert server.poll() is None, (place / "log").read_text()
                assert time.monotonic() - began < 120, (place / "log").read_text()
                time.sleep(0.1)
            print(f"bento ready after {time.monotonic() - began:.1f} s")
            yield url
        finally:
            server.terminate()
            server.wait(60)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def test_it_holds_the_service_and_its_weights_only(bento: Path) -> None:
    source = bento / "src"
    assert {entry.name for entry in source.iterdir()} <= {"service", "weights", "bentofile.yaml"}
    tracked = subprocess.run(["git", "ls-files", "service", "weights"], cwd=ROOT, capture_output=True, text=True)
    held = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()} - {"bentofile.yaml"}
    assert held >= set(tracked.stdout.split()), "tracked files are missing"
    assert not [name for name in held if "__pycache__" in name or name.endswith((".pyc", ".engine"))]
    wanted = (ROOT / "requirements" / "serve.txt").read_text().splitlines()[1:]
    found = (bento / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert set(wanted) <= set(found)
    assert not [line for line in found if line.startswith(("torch", "ray", "onnx=="))]
    description = yaml.safe_load((bento / "bento.yaml").read_text())
    assert description["service"] == "service.app:Polyview"


def test_it_answers_the_requests_of_the_readme(served: str, workplace: Path) -> None:  # noqa: F811
    scripts = [script for language, script in blocks("README.md") if language == "sh" and talks_to_service(script)]
    assert len(scripts) >= 3
    run(["bash"], PREAMBLE + "\n".join(ADDRESS.sub(served, script) for script in scripts), workplace)
    models = httpx.get(f"{served}/v1/models").json()["models"]
    assert {model["name"] for model in models} == {"perceive-rooms", "stitch-pairs"}
