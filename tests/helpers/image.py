"""Replay a Dockerfile without a container engine.

Every stage is an overlay of this machine's own file system, in a mount namespace that ends with the program; RUN
commands run in it after chroot. At the end the image starts as its user on a read-only root with an empty /tmp, and
HEALTHCHECK and one request decide. Run as root by tests/deploy/test_image.py:

    unshare --mount python -m tests.helpers.image FOLDER PHOTO [NAME=VALUE of a build argument ...]

prints {"megabytes": ..., "seconds_to_ready": ..., "status": ..., "writable": [...]} as its last line.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, arguments), comments dropped and continued lines joined."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]  # type: ignore[misc]


@dataclass
class Stage:
    """One FROM: its root, and what the instructions so far have set."""

    root: Path
    upper: Path
    workdir: str = "/"
    user: str = "0:0"
    environment: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    )
    arguments: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def inside(self, command: list[str], **options: object) -> list[str]:
        """The command that runs `command` in this stage as its user."""
        user, group = self.user.split(":")
        environment = [f"{name}={value}" for name, value in (self.environment | self.arguments).items()]
        drop = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"] if user != "0" else []
        script = f"cd {shlex.quote(self.workdir)} && exec {shlex.join([*drop, 'env', *environment, *command])}"
        return ["chroot", str(self.root), "/bin/sh", "-c", script]


def new_stage(folder: Path, name: str) -> Stage:
    """An overlay of /, whose python is this one, reachable for every user as in the official image."""
    parts = {part: folder / name / part for part in ("upper", "work", "root")}
    for part in parts.values():
        part.mkdir(parents=True)
    layers = f"lowerdir=/,upperdir={parts['upper']},workdir={parts['work']}"
    run("mount", "-t", "overlay", "overlay", "-o", layers, str(parts["root"]))
    for shared in ("proc", "dev"):
        run("mount", "--rbind", f"/{shared}", str(parts["root"] / shared))
    for parent in BASE_PYTHON.resolve().parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            (parts["root"] / parent.relative_to("/")).chmod(0o755)
    for link in ("python", "pip"):
        target = parts["root"] / "usr" / "local" / "bin" / link
        target.unlink(missing_ok=True)
        target.write_text(f'#!/bin/sh\nexec {BASE_PYTHON} {"-m pip " if link == "pip" else ""}"$@"\n')
        target.chmod(0o755)
    return Stage(parts["root"], parts["upper"])


def build(dockerfile: str, folder: Path, given: dict[str, str]) -> Stage:
    """Follow the instructions; the last stage."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction, text in instructions(dockerfile):
        if instruction == "FROM":
            words = text.split()
            stage = stages[words[2] if len(words) > 2 else ""] = new_stage(folder, f"stage-{len(stages)}")
            continue
        assert stage is not None, "an instruction before FROM"
        if instruction == "ARG":
            name, _, default = text.partition("=")
            stage.arguments[name] = given.get(name, default)
        elif instruction == "ENV":
            for word in shlex.split(text):
                name, _, value = word.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        elif instruction == "RUN":
            run(*stage.inside(["/bin/sh", "-c", text]))
        elif instruction == "COPY":
            copy(text.split(), stage, stages)
        elif instruction == "WORKDIR":
            stage.workdir = text
            (stage.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            stage.user = text
        elif instruction == "VOLUME":
            stage.volumes.append(text)
        elif instruction == "HEALTHCHECK":
            stage.health = json.loads(text.partition("CMD ")[2])
        elif instruction == "CMD":
            stage.command = json.loads(text)
        else:
            assert instruction == "EXPOSE", f"{instruction}: the replay does not know it"
    assert stage is not None
    return stage


def copy(words: list[str], stage: Stage, stages: dict[str, Stage]) -> None:
    """COPY with one source; from the context, what .dockerignore keeps out stays out."""
    context = ROOT
    if words[0].startswith("--from="):
        context = stages[words.pop(0).removeprefix("--from=")].root
    source, target = (re.sub(r"\$\{(\w+)\}", lambda match: stage.arguments[match[1]], word) for word in words)
    destination = stage.root / (target if target.startswith("/") else f"{stage.workdir}/{target}").lstrip("/")
    origin = context / source.lstrip("/")
    if context == ROOT:
        allowed = (ROOT / ".dockerignore").read_text().splitlines()
        assert any(re.fullmatch(rule[1:].replace("*", "[^/]*"), source) for rule in allowed if rule[0] == "!"), source
    if origin.is_dir():
        ignored = shutil.ignore_patterns("__pycache__", "engines") if context == ROOT else None
        shutil.copytree(origin, destination, symlinks=True, ignore=ignored, dirs_exist_ok=True)
    else:
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(origin, destination)


def serve(stage: Stage, photo: Path) -> dict[str, object]:
    """Start the image read-only, wait for its health check, ask once, and see what its user can write."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    run("mount", "-o", "remount,ro", str(stage.root))
    for place in ("/tmp", *stage.volumes):
        run("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(stage.root / place.lstrip("/")))
    began = time.monotonic()
    server = subprocess.Popen(stage.inside([word.replace("3000", port) for word in stage.command]))
    try:
        health = stage.inside([word.replace("3000", port) for word in stage.health])
        while subprocess.run(health, stderr=subprocess.DEVNULL, check=False).returncode:
            assert server.poll() is None, f"the image ended with {server.returncode}"
            assert time.monotonic() - began < 300, "the image did not become healthy"
            time.sleep(0.1)
        ready = time.monotonic() - began
        url = f"http://127.0.0.1:{port}/v1/perceive"
        form = ["-F", f"image=@{photo}", "-o", "/dev/null", "-w", "%{http_code}"]
        status = subprocess.run(
            ["curl", "-s", "--noproxy", "*", *form, url], capture_output=True, text=True, check=True
        )
        tries = stage.inside(
            ["/bin/sh", "-c", "for d in / /app /venv /data /tmp; do touch $d/.w 2>&- && echo $d; done; true"]
        )
        writable = subprocess.run(tries, capture_output=True, text=True, check=True).stdout.split()
    finally:
        server.terminate()
        server.wait(60)
    return {"seconds_to_ready": round(ready, 1), "status": int(status.stdout), "writable": writable}


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def main() -> None:
    folder, photo, *given = sys.argv[1:]
    run("mount", "--make-rprivate", "/")
    stage = build((ROOT / "Dockerfile").read_text(), Path(folder), dict(word.split("=", 1) for word in given))
    added = [stage.upper / name for name in ("venv", "app")]
    blocks = sum(entry.lstat().st_blocks for place in added for entry in place.rglob("*"))
    print(json.dumps({"megabytes": round(blocks * 512 / 1e6), **serve(stage, Path(photo))}), flush=True)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
