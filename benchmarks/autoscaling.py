"""Do the autoscaling settings of deploy/kubernetes survive a bursty day?

    python -m benchmarks.autoscaling [--overlay base] [--seconds 0.9] [--peak 20] [--hours 24] [--out FILE.md]

A day in steps of a quarter of a second. Requests arrive at random (Poisson) with a rate that follows day and night and
jumps in bursts; each goes to a random ready replica, as a Kubernetes Service does it, where `threads` are computed at
the same time, `queue` may wait and more are turned away. The autoscaler sees the requests in progress as KEDA and the
HorizontalPodAutoscaler do: at intervals, with their tolerance, rate policies and stabilisation window; a new replica
answers after `start` seconds. All settings but the load come from the YAML that is applied.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.table import Report, dated, markdown_table
from service.settings import read_settings

KUBERNETES = Path(__file__).resolve().parent.parent / "deploy" / "kubernetes"
TOLERANCE = 0.1  # of the HorizontalPodAutoscaler: a smaller relative difference changes nothing
SYNC_SECONDS = 15
STEP = 0.25


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """What the ScaledObject says. up, down: the largest change in `period` seconds, as (percent, pods, period)."""

    threshold: float
    least: int
    most: int
    polling: int
    up: tuple[float, int, int]
    down: tuple[float, int, int]
    down_window: int


@dataclass(frozen=True, kw_only=True)
class Replica:
    """threads: requests computed at once; queue: that may wait; seconds: of one; start: until it answers."""

    threads: int
    queue: int
    seconds: float
    start: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """refused: share turned away. waits: seconds until computing begins, at shares 0.5, 0.95, 0.99 of those accepted.

    replica_hours: that were paid; needed_hours: that the work fills. most: replicas at once.
    """

    requests: int
    refused: float
    waits: tuple[float, float, float]
    replica_hours: float
    needed_hours: float
    most: int


def read_scaling(overlay: str = "base") -> tuple[Scaling, Replica]:
    """Settings of an overlay of deploy/kubernetes, patches merged; seconds and start are still to be filled in."""
    scaled = _merged("scaledobject.yaml", overlay)["spec"]
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    (trigger,) = scaled["triggers"]
    scaling = Scaling(
        threshold=float(trigger["metadata"]["threshold"]),
        least=scaled["minReplicaCount"],
        most=scaled["maxReplicaCount"],
        polling=scaled["pollingInterval"],
        up=_policy(behavior["scaleUp"]["policies"]),
        down=_policy(behavior["scaleDown"]["policies"]),
        down_window=behavior["scaleDown"]["stabilizationWindowSeconds"],
    )
    (container,) = _merged("deployment.yaml", overlay)["spec"]["template"]["spec"]["containers"]
    settings = read_settings({entry["name"]: entry["value"] for entry in container["env"] if "value" in entry})
    waiting = settings.door.in_flight - settings.at_once
    return scaling, Replica(threads=settings.threads, queue=waiting, seconds=math.nan, start=0)


def daily_rate(peak: float, hours: float, rng: np.random.Generator) -> np.ndarray:
    """Requests per second for every second: night at a tenth of the peak, noon at half, bursts up to the peak.

    A burst comes every two hours on average, within a minute, and stays for 5 to 20 minutes.
    """
    seconds = np.arange(round(hours * 3600))
    rate = peak * (0.3 - 0.2 * np.cos(2 * np.pi * seconds / 86400))
    for begin in np.flatnonzero(rng.random(len(seconds)) < 1 / 7200):
        length, height = rng.integers(300, 1200), rng.uniform(0.5, 1.0) * peak
        shape = np.clip(np.minimum(seconds - begin, begin + length - seconds) / 60, 0, 1)
        rate = np.maximum(rate, shape * height)
    return rate


def simulate(rate: np.ndarray, scaling: Scaling, replica: Replica, rng: np.random.Generator) -> Outcome:
    """One run over `rate` (requests per second, one value a second)."""
    capacity = replica.threads + replica.queue
    in_progress = np.zeros(scaling.least, np.int64)
    starting: deque[int] = deque()  # when each replica that is being started will answer
    wished: deque[tuple[int, int]] = deque()
    history: deque[tuple[int, int]] = deque()
    paid, arrived, refused = 0.0, 0, 0
    waits: list[np.ndarray] = []
    seen, most = 0.0, scaling.least
    steps = round(1 / STEP)
    for step, arrivals in enumerate(rng.poisson(np.repeat(rate, steps) * STEP)):
        second, part = divmod(step, steps)
        while starting and starting[0] <= second:
            starting.popleft()
            in_progress = np.append(in_progress, 0)
        done = rng.poisson(np.minimum(in_progress, replica.threads) * (STEP / replica.seconds))
        in_progress = in_progress - np.minimum(done, in_progress)
        to = np.bincount(rng.integers(0, len(in_progress), arrivals), minlength=len(in_progress))
        taken = np.minimum(to, capacity - in_progress)
        ahead = np.maximum(in_progress - replica.threads + 1, 0)
        waits.append(np.repeat(ahead * replica.seconds / replica.threads, taken).astype(np.float32))
        in_progress = in_progress + taken
        arrived += int(arrivals)
        refused += int(arrivals - taken.sum())
        count = len(in_progress) + len(starting)
        paid += count * STEP
        most = max(most, count)
        if part:
            continue
        if second % scaling.polling == 0:
            seen = float(in_progress.sum())
        if second % SYNC_SECONDS == 0:
            count = _next_count(count, seen, second, scaling, wished, history)
            while len(in_progress) + len(starting) < count:
                starting.append(second + replica.start)
            surplus = len(in_progress) + len(starting) - count
            for _ in range(min(surplus, len(starting))):
                starting.pop()
                surplus -= 1
            if surplus > 0:  # pods that go finish what they have
                in_progress = in_progress[:-surplus]
    waited = np.concatenate(waits) if waits else np.zeros(1, np.float32)
    quantiles = np.quantile(waited if len(waited) else np.zeros(1), (0.5, 0.95, 0.99))
    return Outcome(
        requests=arrived,
        refused=refused / max(arrived, 1),
        waits=(float(quantiles[0]), float(quantiles[1]), float(quantiles[2])),
        replica_hours=paid / 3600,
        needed_hours=(arrived - refused) * replica.seconds / replica.threads / 3600,
        most=most,
    )


def _next_count(
    count: int,
    seen: float,
    second: int,
    scaling: Scaling,
    wished: deque[tuple[int, int]],
    history: deque[tuple[int, int]],
) -> int:
    """The HorizontalPodAutoscaler's next number of replicas.

    wished: (second, wish) within the window of scaling down; history: (second, count) for the rate policies.
    """
    ratio = seen / scaling.threshold / count
    wish = count if abs(ratio - 1) <= TOLERANCE else math.ceil(seen / scaling.threshold)
    wish = min(max(wish, scaling.least), scaling.most)
    wished.append((second, wish))
    while wished[0][0] < second - scaling.down_window:
        wished.popleft()
    history.append((second, count))
    while history[0][0] < second - max(scaling.up[2], scaling.down[2]):
        history.popleft()
    if wish > count:
        percent, pods, period = scaling.up
        before = min(c for then, c in history if then >= second - period)
        return min(wish, max(math.floor(before * (1 + percent / 100)), before + pods))
    wish = max(w for _, w in wished)
    percent, pods, period = scaling.down
    before = max(c for then, c in history if then >= second - period)
    return max(min(wish, count), min(math.ceil(before * (1 - percent / 100)), before - pods), scaling.least)


def _merged(name: str, overlay: str) -> dict[str, Any]:
    content = yaml.safe_load((KUBERNETES / "base" / name).read_text())
    patch = KUBERNETES / overlay / name
    return _patched(content, yaml.safe_load(patch.read_text())) if patch.is_file() and overlay != "base" else content


def _patched(base: Any, patch: Any) -> Any:
    """A strategic merge as far as these files need it: lists of named things by name, other lists replaced."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {key: _patched(base[key], value) if key in base else value for key, value in patch.items()}
    if isinstance(base, list) and base and isinstance(base[0], dict) and "name" in base[0]:
        merged = {entry["name"]: entry for entry in base}
        for entry in patch:
            merged[entry["name"]] = _patched(merged.get(entry["name"], {}), entry)
        return list(merged.values())
    return patch


def _policy(policies: list[dict[str, Any]]) -> tuple[float, int, int]:
    by_kind = {policy["type"]: policy["value"] for policy in policies}
    return float(by_kind.get("Percent", 0)), int(by_kind.get("Pods", 0)), int(policies[0]["periodSeconds"])


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscaling", description=__doc__)
    parser.add_argument("--overlay", default="base")
    parser.add_argument("--seconds", type=float, default=0.9, help="of computing one request on one thread")
    parser.add_argument("--peak", type=float, default=20.0, help="requests per second at the height of a burst")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--start", type=int, default=20, help="seconds until a new replica answers")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(argv)
    scaling, replica = read_scaling(options.overlay)
    replica = dataclasses.replace(replica, seconds=options.seconds, start=options.start)
    rate = daily_rate(options.peak, options.hours, np.random.default_rng(0))
    busiest = math.ceil(rate.max() * replica.seconds / replica.threads)
    variants = {
        "as applied": scaling,
        "no autoscaling, enough for the mean": _fixed(
            scaling, math.ceil(rate.mean() * replica.seconds / replica.threads)
        ),
        "no autoscaling, enough for the peak": _fixed(scaling, busiest),
        "threshold = threads": dataclasses.replace(scaling, threshold=float(replica.threads)),
        "threshold halved": dataclasses.replace(scaling, threshold=scaling.threshold / 2),
        "no stabilisation": dataclasses.replace(scaling, down_window=0),
    }
    rows, numbers = [], {}
    for name, variant in variants.items():
        outcome = simulate(rate, variant, replica, np.random.default_rng(1))
        numbers[name] = dataclasses.asdict(outcome)
        rows.append([
            name, f"{outcome.refused:.2%}", *(f"{wait:.1f}" for wait in outcome.waits), str(outcome.most),
            f"{outcome.replica_hours:.0f}", f"{outcome.needed_hours / outcome.replica_hours:.0%}",
        ])  # fmt: skip
    report = Report(title="Autoscaling on a bursty day", module="benchmarks.autoscaling", argv=argv, numbers=numbers)
    report.notes.append(
        f"{numbers['as applied']['requests']} requests in {options.hours:g} h, {rate.mean():.1f} a second on average, "
        f"{rate.max():.1f} at most; {options.seconds:g} s each on one of {replica.threads} threads, "
        f"{replica.queue} may wait; a new replica answers after {options.start} s. A simulation: nothing was served."
    )
    header = ["settings", "refused", "wait p50 s", "p95", "p99", "replicas at most", "replica-hours", "of them working"]
    report.section("Results", markdown_table(header, rows))
    report.write(options.out or dated("autoscaling"))
    print(report.text())


def _fixed(scaling: Scaling, count: int) -> Scaling:
    return dataclasses.replace(scaling, least=count, most=count)


if __name__ == "__main__":
    main()
