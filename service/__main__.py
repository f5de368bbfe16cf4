"""python -m service check | serve [--host 127.0.0.1] [--port 3000] | hash-key NAME | stitch-batch | perceive-batch

`check` verifies settings and every bundle; `serve` does the same and then becomes `bentoml serve`. Both end with status
1 and one line that names what is missing, damaged or taken: BentoML itself would restart its worker for ever, or show
the trace of its supervisor. `hash-key` prints a new API key once, and the entry to store for it.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
import tempfile
from pathlib import Path

from service.access import hash_key, new_key
from service.batch import command as batch
from service.bundle import Bundle, BundleError
from service.gpu import gpu_at_hand
from service.jobs.settings import usable_folder
from service.registry import check_bundles
from service.runtime import REMEDIES
from service.settings import ROOT, Settings, read_settings
from service.tracing import check_tracing

OPEN_WARNING = """
polyview: ****************************************************************************************
polyview: WARNING: {host} can be reached from other machines, and no keys are set: anyone may use
polyview: this service. Set POLYVIEW_KEYS or POLYVIEW_KEYS_FILE (python -m service hash-key NAME),
polyview: or let only trusted machines reach it.
polyview: ****************************************************************************************
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Answer requests, or work through many photographs. docs/settings.md lists what can be set.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="verify settings and bundles")
    serve = commands.add_parser("serve", help="verify settings and bundles, then serve")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen at; 0.0.0.0 for all (%(default)s)")
    serve.add_argument("--port", type=_port, default=3000, help="port to listen at (%(default)s)")
    key = commands.add_parser("hash-key", help="make an API key and the entry that is stored for it")
    key.add_argument("name", help="who the key is for: 1 to 64 of A-Z a-z 0-9 _ -")
    key.add_argument("--rate", type=int, help="requests per minute of this key; otherwise POLYVIEW_RATE holds")
    key.add_argument("--stdin", action="store_true", help="hash the key on standard input instead of a new one")
    batch.add_commands(commands)
    options = parser.parse_args(arguments)
    if options.command in batch.COMMANDS:
        return batch.run_command(options)
    if options.command == "hash-key":
        return _hash_key(options.name, options.rate, options.stdin)
    try:
        settings = read_settings()
        bundles = _check(settings)
        if options.command == "serve":
            _check_address(options.host, options.port)
    except (BundleError, ValueError) as error:
        print(f"polyview: {error}", file=sys.stderr)
        return 1
    for bundle in bundles:
        print(f"polyview: {bundle.manifest.kind} bundle {bundle.manifest.name} is whole ({bundle.folder})", flush=True)
    if options.command == "serve":
        shape = f"a process of their own, up to {settings.batch} images at once" if settings.tiers else "one process"
        print(f"polyview: networks run in {shape}", flush=True)
        if not settings.door.keys and not _is_local(options.host):
            print(OPEN_WARNING.format(host=options.host), file=sys.stderr, flush=True)
        _become_bentoml(options.host, options.port)
    return 0


def _check(settings: Settings) -> list[Bundle]:
    """Everything that would otherwise fail in the worker. Raises BundleError, ValueError."""
    if settings.unread:
        print(f"polyview: set, but no setting of the service: {', '.join(settings.unread)}", file=sys.stderr)
    check_tracing(settings.observation)
    folder, as_wanted = usable_folder(settings.jobs.folder)
    if not as_wanted:
        print(f"polyview: jobs are kept in {folder} and may be lost at a restart; set POLYVIEW_JOBS", file=sys.stderr)
    if settings.calibrations is not None:
        _check_calibrations(settings.calibrations)
    device = settings.runtime.device
    if device in REMEDIES and not gpu_at_hand():
        raise ValueError(
            f"POLYVIEW_DEVICE: expected a GPU for {device}, found no CUDA device, or an ONNX Runtime without CUDA. "
            f"{REMEDIES[device]}"
        )
    return check_bundles(settings)


def _check_calibrations(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"POLYVIEW_CALIBRATIONS: expected a writable folder, found {folder}: {error}") from error


def _check_address(host: str, port: int) -> None:
    """Take the port for a moment. Raises ValueError where somebody has it, or this machine has no such address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the supervisor does
            probe.bind(address)
    except OSError as error:
        raise ValueError(
            f"cannot listen at {host}, port {port}: {error.strerror}. Choose others: "
            "--host and --port, or make serve HOST=127.0.0.1 PORT=3001"
        ) from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 65535, found {text!r}")
    return int(text)


def _hash_key(name: str, rate: int | None, from_stdin: bool) -> int:
    try:
        key = sys.stdin.readline().rstrip("\r\n") if from_stdin else new_key()
        entry = hash_key(name, key, rate)
    except ValueError as error:
        print(f"polyview: {error}", file=sys.stderr)
        return 1
    if not from_stdin:
        print(f"key, shown only now: {key}", file=sys.stderr)
    print(entry)
    return 0


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _become_bentoml(host: str, port: int) -> None:
    command = [sys.executable, "-m", "service.supervisor", "--host", host, "--port", str(port)]
    os.chdir(ROOT)
    os.execve(sys.executable, command, {"BENTOML_DO_NOT_TRACK": "True", **os.environ})


if __name__ == "__main__":
    sys.exit(main())
