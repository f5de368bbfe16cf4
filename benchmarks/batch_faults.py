"""Batches that are killed, and the memory of a long one.

    python -m benchmarks.batch_faults [--task photographs] [--count 10000] [--kills 10] [--workers 2] [--out FILE.md]

Small generated photographs (or pairs) go through `python -m service perceive-batch` (or `stitch-batch --profile fast`)
twice: undisturbed, with the resident memory of all its processes sampled once a second, and with `kill -9` of the whole
process group at random moments, started again each time. Every item has to be in the second report exactly once, and
its outputs have to be those of the first byte for byte. Exit status 1 where that does not hold.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.batch import write_pairs
from benchmarks.load import memory_bytes
from benchmarks.table import ROOT, Report, dated, markdown_table

REPORT = "report.jsonl"
PARTS = 10
"""Of the memory samples: medians of each tenth are compared."""


def command(task: str, source: Path, out: Path, workers: int) -> list[str]:
    """The batch as one would start it."""
    words = ["perceive-batch", str(source / "*" / "reference.jpg"), "--format", "preview"]
    if task == "pairs":
        words = ["stitch-batch", str(source), "--profile", "fast"]
    return [sys.executable, "-m", "service", *words, "--out", str(out), "--workers", str(workers), "--quiet"]


def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """In a process group of its own, so that a kill reaches the workers too."""
    return subprocess.Popen(words, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)


def done(out: Path) -> int:
    """Items that count."""
    folder = out / "rows" / "done"
    return sum(1 for _ in os.scandir(folder)) if folder.exists() else 0


def watched(words: Sequence[str], out: Path, count: int) -> list[tuple[int, int]]:
    """(items done, bytes of memory), sampled each second of a run that is left alone.

    Samples are from the first finished item until the last but one tenth of a per cent, while all workers live.
    """
    process, samples = start(words), []
    while process.poll() is None:
        time.sleep(1)
        finished = done(out)
        if 0 < finished < count * 0.999:
            try:
                samples.append((finished, memory_bytes(process.pid)))
            except psutil.NoSuchProcess:
                break
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(words[2:4])}: expected exit status 0, found {process.returncode}")
    return samples


def killed(words: Sequence[str], out: Path, count: int, kills: int, chance: random.Random) -> list[tuple[int, float]]:
    """(items done, seconds that the run had lived) at each kill; ends with a run that is left alone.

    The batch is divided evenly among the runs, and each kill comes at a random moment of its own part, often inside an
    item: however fast the machine is, another part is always left for the runs that follow.
    """
    log = []
    for number in range(kills):
        end = max(number + 1, count * (number + 1) // (kills + 1))
        target = chance.randint(min(done(out) + 1, end), end)
        began, process = time.monotonic(), start(words)
        while process.poll() is None and done(out) < target:
            time.sleep(0.01)
        moment = time.monotonic() + chance.uniform(0, 0.5)
        while process.poll() is None and done(out) < end and time.monotonic() < moment:
            time.sleep(0.01)
        if process.poll() is not None:
            raise RuntimeError(f"kill {number + 1}: expected a run to kill, found one that ended by itself")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.append((done(out), time.monotonic() - began))
        print(f"kill {number + 1}: {log[-1][0]} of {count} done after {log[-1][1]:.1f} s", flush=True)
    process = start(words)
    if process.wait() != 0:
        raise RuntimeError(f"last run: expected exit status 0, found {process.returncode}")
    return log


def lasting(out: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Digest of every output by path, and the report's rows without their times."""
    files = [path for path in sorted((out / "items").rglob("*")) if path.is_file()]
    digests = {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    rows = [json.loads(line) for line in (out / REPORT).read_text().splitlines()]
    return digests, [{key: value for key, value in row.items() if not key.startswith("seconds")} for row in rows]


def memory_rows(samples: Sequence[tuple[int, int]]) -> list[list[str]]:
    """Median memory of each tenth of the samples, and how much more it is than in the second tenth."""
    size = max(1, len(samples) // PARTS)
    parts = [samples[begin : begin + size] for begin in range(0, size * PARTS, size) if samples[begin : begin + size]]
    medians = [statistics.median(memory for _, memory in part) for part in parts]
    reference = medians[min(1, len(medians) - 1)]
    return [
        [f"{part[0][0]}-{part[-1][0]}", f"{median / 2**20:.0f}", f"{100 * (median / reference - 1):+.1f} %"]
        for part, median in zip(parts, medians, strict=True)
    ]


def main(argv: Sequence[str] | None = None) -> Report:
    """Runs both, prints and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_faults", description=__doc__)
    parser.add_argument("--task", choices=("photographs", "pairs"), default="photographs")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    if options.count < 2 * options.kills + 2:
        parser.error(f"--count: expected at least two items for every kill and two more, found {options.count}")
    with tempfile.TemporaryDirectory() as folder:
        source, calm, disturbed = (Path(folder) / name for name in ("in", "calm", "killed"))
        write_pairs(source, options.count)
        samples = watched(command(options.task, source, calm, options.workers), calm, options.count)
        log = killed(
            command(options.task, source, disturbed, options.workers),
            disturbed,
            options.count,
            options.kills,
            random.Random(options.seed),
        )
        expected, found = lasting(calm), lasting(disturbed)
        left_over = len(list(disturbed.glob("**/*.tmp")))
    ids = [row["id"] for row in found[1]]
    facts = {
        "rows in the report of the killed batch": str(len(ids)),
        "of them different items": str(len(set(ids))),
        "failed": str(sum(row["status"] != "ok" for row in found[1])),
        "outputs": str(len(found[0])),
        "reports alike but for times": "yes" if found[1] == expected[1] else "no",
        "outputs alike byte for byte": "yes" if found[0] == expected[0] else "no",
        "half-written files left": str(left_over),
    }
    report = Report(
        title=f"{options.count} {options.task}, killed {options.kills} times",
        module="benchmarks.batch_faults",
        argv=argv,
        numbers={"memory": samples, "kills": log, "facts": facts},
    )
    report.section("After the last run", markdown_table(["", ""], [[name, value] for name, value in facts.items()]))
    kills = [[str(number + 1), str(count), f"{seconds:.1f}"] for number, (count, seconds) in enumerate(log)]
    report.section("Kills", markdown_table(["kill", "items done", "seconds after its start"], kills))
    if samples:
        report.section(
            "Resident memory of all processes, undisturbed",
            markdown_table(["items done", "median MiB", "to the second tenth"], memory_rows(samples)),
        )
    report.write(options.out or dated(f"batch_faults_{options.task}"))
    print(report.text())
    if len(set(ids)) != options.count or found != expected or left_over:
        raise SystemExit(1)
    return report


if __name__ == "__main__":
    main()
