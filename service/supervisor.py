"""python -m service.supervisor OPTIONS: `bentoml serve` of the service, with status 1 if its workers cannot start.

BentoML's own status is 0 then, as after any SIGTERM, and what restarts programs that failed would leave it be.
"""

from __future__ import annotations

import sys

from bentoml_cli.cli import cli

from service.failed_starts import supervising

if __name__ == "__main__":
    with supervising():
        cli(["serve", "service.app:Polyview", *sys.argv[1:]], prog_name="bentoml")
