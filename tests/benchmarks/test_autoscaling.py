"""The simulation against cases with a known answer, and the settings of deploy/kubernetes against a bursty day."""

import dataclasses

import numpy as np
import pytest

from benchmarks.autoscaling import Replica, Scaling, daily_rate, read_scaling, simulate

FIXED = Scaling(threshold=3, least=4, most=4, polling=15, up=(100, 4, 15), down=(25, 0, 60), down_window=300)
REPLICA = Replica(threads=4, queue=32, seconds=1.0, start=20)


def run(rate: np.ndarray, scaling: Scaling, replica: Replica = REPLICA):
    return simulate(rate, scaling, replica, np.random.default_rng(1))


def test_a_load_within_capacity_is_served_without_waiting() -> None:
    outcome = run(np.full(1800, 4.0), FIXED)
    assert outcome.refused == 0
    assert outcome.waits[0] == 0
    assert outcome.replica_hours == pytest.approx(2.0)
    assert outcome.needed_hours == pytest.approx(outcome.requests / 4 / 3600)


def test_twice_the_capacity_refuses_half() -> None:
    outcome = run(np.full(1200, 2.0 * 4 * 4), FIXED)
    assert outcome.refused == pytest.approx(0.5, abs=0.02)
    assert outcome.waits[2] == pytest.approx((32 + 1) / 4, rel=0.1)


def test_replicas_follow_the_load_up_and_down_again() -> None:
    scaling = dataclasses.replace(FIXED, least=2, most=20)
    rate = np.concatenate([np.full(300, 2.0), np.full(900, 24.0), np.full(1800, 2.0)])
    outcome = run(rate, scaling)
    assert 24 / 3 <= outcome.most <= 20
    fixed = run(rate, dataclasses.replace(scaling, least=outcome.most, most=outcome.most))
    assert outcome.replica_hours < 0.75 * fixed.replica_hours
    none = run(rate, dataclasses.replace(scaling, most=2))
    assert outcome.refused < 0.25 * none.refused


def test_scaling_down_waits_for_its_window() -> None:
    rate = np.concatenate([np.full(300, 20.0), np.full(600, 0.5)])
    slow, fast = (
        run(rate, dataclasses.replace(FIXED, least=2, most=20, down_window=window)).replica_hours for window in (600, 0)
    )
    assert slow > 1.3 * fast


@pytest.mark.parametrize("overlay", ["base", "overlays/gpu"])
def test_the_applied_settings_survive_bursts(overlay: str) -> None:
    """Three bursty hours whose peak is half of what the largest number of replicas can do."""
    scaling, replica = read_scaling(overlay)
    replica = dataclasses.replace(replica, seconds=0.9, start=20)
    peak = 0.5 * scaling.most * replica.threads / replica.seconds
    outcome = run(daily_rate(peak, 3, np.random.default_rng(0)), scaling, replica)
    assert outcome.refused < 0.01
    assert outcome.waits[1] < 5
    assert outcome.most <= scaling.most
    assert outcome.needed_hours / outcome.replica_hours > 0.2, "nearly all of what is paid does nothing"
