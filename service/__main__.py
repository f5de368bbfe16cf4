"""python -m service check | serve [--host 127.0.0.1] [--port 3000] | stitch-batch | perceive-batch

`check` verifies every bundle; `serve` does the same and then becomes `bentoml serve`. Both end with status 1 and one
line that names the bundle if one is missing or damaged: BentoML itself would restart its worker for ever.
"""

from __future__ import annotations

import argparse
import os
import sys

from service.batch import command as batch
from service.bundle import BundleError
from service.registry import check_bundles
from service.settings import ROOT, read_settings


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m service", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="verify the bundles")
    serve = commands.add_parser("serve", help="verify the bundles, then serve")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=3000)
    batch.add_commands(commands)
    options = parser.parse_args(arguments)
    if options.command in batch.COMMANDS:
        return batch.run_command(options)
    try:
        bundles = check_bundles(read_settings())
    except (BundleError, ValueError) as error:
        print(f"polyview: {error}", file=sys.stderr)
        return 1
    for bundle in bundles:
        print(f"polyview: {bundle.manifest.kind} bundle {bundle.manifest.name} is whole ({bundle.folder})", flush=True)
    if options.command == "serve":
        _become_bentoml(options.host, options.port)
    return 0


def _become_bentoml(host: str, port: int) -> None:
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:Polyview", "--host", host, "--port", str(port)]
    os.chdir(ROOT)
    os.execve(sys.executable, command, {"BENTOML_DO_NOT_TRACK": "True", **os.environ})


if __name__ == "__main__":
    sys.exit(main())
