"""The refusal benchmark: decisions as the service takes them, rates and free ranges of hand-made cases."""

from benchmarks.stitch_refusal import MIRRORED, OPEN, STRANGERS, TOGETHER, Case, decision, free_range, rates
from service.stitching.refusal import Evidence, RefusalOptions, lacking


def case(kind: str, agreement: float, degenerate: bool = False) -> Case:
    evidence = Evidence(aligned=True, returning=0.9, overlap=0.5, agreement=agreement, textured=0.5)
    return Case(kind=kind, name=f"{agreement}", evidence=evidence, degenerate=degenerate)


CASES = [
    case(TOGETHER, 0.9), case(TOGETHER, 0.5), case(TOGETHER, 0.1), case(STRANGERS, 0.05), case(STRANGERS, 0.15),
    case(STRANGERS, 0.3), Case(kind=STRANGERS, name="none", evidence=None, code="low_overlap"),
    case(MIRRORED, 0.8, degenerate=True),
]  # fmt: skip


def test_decisions_and_rates_of_known_cases() -> None:
    options = RefusalOptions(agreement=0.2)
    assert [decision(c, options) for c in CASES] == [
        "ok", "ok", "low_overlap", "low_overlap", "low_overlap", "ok", "low_overlap", "degenerate_flow",
    ]  # fmt: skip
    assert rates(CASES, options) == (3 / 4, 3 / 4)
    assert rates(CASES, options, MIRRORED) == (1 / 2, 1.0)


def test_a_threshold_may_move_until_one_more_case_is_wrong() -> None:
    clear = [each for each in CASES if each.name != "0.3"]
    low, high = free_range(clear, "agreement", RefusalOptions(agreement=0.2))
    assert (low, high) == (0.16, 0.5)


def test_with_thresholds_off_nothing_is_refused() -> None:
    worst = Evidence(aligned=False, returning=0, overlap=0, agreement=-1, textured=0)
    assert lacking(worst, RefusalOptions()) is not None
    assert lacking(worst, OPEN) is None
