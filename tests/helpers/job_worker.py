"""python -m tests.helpers.job_worker FOLDER THREADS [REDIS_URL]: works on jobs, with work that only takes time.

Light enough to be started and killed many times. `FOLDER/log.txt` gets a line when an item is begun and when it is
finished, which survive a kill as soon as they are written.
"""

from __future__ import annotations

import os
import sys
import time
import zipfile
from pathlib import Path
from typing import IO

from service.jobs.job import Claim, Job
from service.jobs.queue import JobQueue
from service.jobs.store import JobStore

ITEM_SECONDS = 0.03


def main(folder: Path, threads: int, redis_url: str = "") -> None:
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def work(job: Job, claim: Claim) -> None:
        def write(file: IO[bytes]) -> None:
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr("content.txt", claim.item.id)

        os.write(log, f"begin {job.id} {claim.item.id}\n".encode())
        time.sleep(ITEM_SECONDS)
        job.publish(claim, {"id": claim.item.id, "status": "ok"}, write)
        os.write(log, f"finish {job.id} {claim.item.id}\n".encode())

    JobQueue(JobStore(folder, hours=1), work, threads, redis_url).start()
    os.write(log, f"ready {os.getpid()}\n".encode())
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
