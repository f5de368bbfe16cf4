"""Gradient methods on gradients that can be worked out by hand: directions, scales, seeds, state, refusals."""

import json
import math

import pytest
import torch
from torch import Tensor

from training.gradient_methods import torchjd_methods
from training.gradient_methods.combination import SharedGradients
from training.gradient_methods.torchjd_methods import (
    AlignedMtlConfig,
    CaGradConfig,
    GradDropConfig,
    ImtlGConfig,
    MgdaConfig,
    NashMtlConfig,
    PcGradConfig,
    TorchJdCombiner,
    TorchJdConfig,
)

CONFLICT = ((1.0, 0.0), (-1.0, 1.0))
FREE_NASH = NashMtlConfig(max_norm=None)
METHODS: tuple[TorchJdConfig, ...] = (
    PcGradConfig(),
    MgdaConfig(),
    CaGradConfig(),
    AlignedMtlConfig(),
    FREE_NASH,
    GradDropConfig(),
    ImtlGConfig(),
)


def shared(*rows: tuple[float, ...]) -> SharedGradients:
    names = tuple("abcdef"[: len(rows)])
    return SharedGradients(names, torch.tensor(rows, dtype=torch.float32), {"weight": slice(0, len(rows[0]))})


def combine(config: TorchJdConfig, *rows: tuple[float, ...], seed: int = 0) -> list[float]:
    values: list[float] = TorchJdCombiner(config).combine(shared(*rows), {}, seed).tolist()
    return values


def random_rows(tasks: int = 3, values: int = 6) -> tuple[tuple[float, ...], ...]:
    generator = torch.Generator().manual_seed(3)
    return tuple(tuple(row) for row in torch.randn(tasks, values, generator=generator).tolist())


def scaled(rows: tuple[tuple[float, ...], ...], *factors: float) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(factor * value for value in row) for row, factor in zip(rows, factors, strict=True))


def direction(values: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in values))
    return [value / length for value in values]


def test_pcgrad_projects_each_gradient_off_the_other() -> None:
    # (1,0) - (1,0).(-1,1) / 2 (-1,1) = (1/2,1/2) and (-1,1) + (1,0) = (0,1).
    combiner = TorchJdCombiner(PcGradConfig())
    assert combiner.combine(shared(*CONFLICT), {}, 0).tolist() == pytest.approx([0.5, 1.5])
    assert combiner.scalars() == pytest.approx({"combination/a": 2.0, "combination/b": 1.5})
    assert combine(PcGradConfig(), (1, 0), (1, 1)) == [2, 1]  # no conflict, no change


def test_mgda_finds_the_point_of_least_norm() -> None:
    # On the segment from (1,0) to (-1,1): (1 - 2t, t) is shortest at t = 2/5; two tasks make twice that.
    assert combine(MgdaConfig(), *CONFLICT) == pytest.approx([0.4, 0.8])
    assert combine(MgdaConfig(), (1, 0), (3, 0)) == pytest.approx([2, 0])  # the shorter one, where it is in between
    descent = torch.tensor(combine(MgdaConfig(iterations=10_000), *random_rows()))
    assert (torch.tensor(random_rows()) @ descent > 0).all()


def test_cagrad_lies_between_the_sum_and_the_least_norm() -> None:
    assert combine(CaGradConfig(c=0), *CONFLICT) == pytest.approx([0, 1], abs=1e-6)
    # Mean (0,1/2) of length 1/2 and the worst case along the hull's w = (1 - 2t, t): 2 (mean + c/2 w/|w|).
    half = torch.tensor(combine(CaGradConfig(c=0.5), *CONFLICT))
    assert (half / 2 - torch.tensor([0, 0.5])).norm().item() == pytest.approx(0.25, rel=1e-3)
    worst = [
        (torch.tensor(CONFLICT) @ torch.tensor(combine(CaGradConfig(c=c), *CONFLICT))).min() for c in (0, 0.2, 0.5)
    ]
    assert worst[0] < worst[1] < worst[2]


def test_aligned_mtl_makes_the_principal_components_equally_long() -> None:
    # Orthogonal gradients of lengths 3 and 1: both get the shorter length, and the mean of two is doubled.
    assert combine(AlignedMtlConfig(), (3, 0), (0, 1)) == pytest.approx([1, 1])
    assert combine(AlignedMtlConfig(scale="rmse"), (3, 0), (0, 1)) == pytest.approx([math.sqrt(5)] * 2)
    # U V^T of the conflict's decomposition J = U S V^T, times its smallest singular value.
    left, lengths, right = torch.linalg.svd(torch.tensor(CONFLICT))
    expected = lengths[-1] * (left @ right).sum(dim=0)
    assert combine(AlignedMtlConfig(), *CONFLICT) == pytest.approx(expected.tolist(), rel=1e-5)


def test_imtl_g_projects_equally_on_every_direction() -> None:
    rows = random_rows()
    combination = torch.tensor(combine(ImtlGConfig(), *rows))
    projections = torch.nn.functional.normalize(torch.tensor(rows), dim=1) @ combination
    assert projections.tolist() == pytest.approx([projections[0].item()] * 3, rel=1e-4)
    # Unit gradients: equal weights, so the plain sum.
    assert combine(ImtlGConfig(), (1, 0), (-0.6, 0.8)) == pytest.approx([0.4, 0.8])


def test_nash_mtl_solves_the_bargaining_equations() -> None:
    rows = scaled(random_rows(), 1, 1, 1)
    combiner = TorchJdCombiner(FREE_NASH)
    combiner.combine(shared(*rows), {}, 0)
    alpha = torch.tensor(list(combiner.scalars().values()))
    gramian = torch.tensor(rows) @ torch.tensor(rows).T
    product = alpha * (gramian @ alpha)  # G^T G alpha = 1 / alpha, up to the library's normalisation of G^T G
    assert product.tolist() == pytest.approx([product[0].item()] * 3, rel=0.02)
    short = TorchJdCombiner(NashMtlConfig(max_norm=0.5)).combine(shared(*rows), {}, 0)
    assert short.norm().item() == pytest.approx(0.5)


def test_graddrop_keeps_one_sign_at_each_value() -> None:
    rows = ((1.0, 2.0, -1.0, 0.0), (-1.0, 1.0, -2.0, 0.0))
    drawn = {tuple(combine(GradDropConfig(), *rows, seed=seed)) for seed in range(20)}
    assert drawn == {(1, 3, -3, 0), (-1, 3, -3, 0)}  # only the conflict is drawn, with even odds


@pytest.mark.parametrize("config", METHODS, ids=lambda config: config.kind)
def test_equal_or_orthogonal_gradients_are_summed(config: TorchJdConfig) -> None:
    if isinstance(config, CaGradConfig):
        config = CaGradConfig(c=0)
    if config.kind != "nash_mtl":
        assert combine(config, (2, 1), (2, 1)) == pytest.approx([4, 2], rel=1e-4)
        assert combine(config, (2, 0), (0, 2)) == pytest.approx([2, 2], rel=1e-4)
    assert direction(combine(config, (2, 1), (2, 1))) == pytest.approx(direction([2, 1]), rel=1e-3)


@pytest.mark.parametrize("config", METHODS, ids=lambda config: config.kind)
def test_what_scales_and_what_does_not(config: TorchJdConfig) -> None:
    rows = random_rows()
    plain = combine(config, *rows)
    alike = combine(config, *scaled(rows, 8, 8, 8))
    assert direction(alike) == pytest.approx(direction(plain), rel=1e-2, abs=1e-3)
    if config.kind != "nash_mtl":  # whose solution is of the normalised Gramian
        assert alike == pytest.approx([8 * value for value in plain], rel=1e-2, abs=1e-3)
    apart = direction(combine(config, *scaled(rows, 1, 4, 0.25)))
    same = apart == pytest.approx(direction(plain), rel=2e-2, abs=5e-3)
    assert same == (config.kind in ("imtl_g", "nash_mtl"))


@pytest.mark.parametrize("config", METHODS, ids=lambda config: config.kind)
@pytest.mark.parametrize(("others", "place"), [(2, 0), (2, 2), (1, 1)])
def test_a_task_without_a_gradient_does_not_count(config: TorchJdConfig, others: int, place: int) -> None:
    rows = list(random_rows(tasks=others))
    expected = combine(config, *rows)
    rows.insert(place, (0.0,) * 6)
    combiner = TorchJdCombiner(config)
    combination = combiner.combine(shared(*rows), {}, 0).tolist()
    assert combination == pytest.approx(expected, rel=1e-6)
    if others == 1:
        assert direction(combination) == pytest.approx(direction(list(rows[0])))
        assert config.kind != "nash_mtl" or math.hypot(*combination) == pytest.approx(1)
    if config.kind != "graddrop":
        assert combiner.scalars()[f"combination/{'abc'[place]}"] == 1


@pytest.mark.parametrize("config", METHODS, ids=lambda config: config.kind)
def test_where_no_task_has_a_gradient_nothing_is_solved(config: TorchJdConfig) -> None:
    combiner = TorchJdCombiner(config)
    before = combiner.state_dict()
    assert combiner.combine(shared((0, 0), (0, 0)), {}, 0).tolist() == [0, 0]
    assert set(combiner.scalars().values()) <= {1}
    assert combiner.state_dict() == before


@pytest.mark.parametrize("scale", [1e-3, 1e-6, 1e-15])
def test_cagrad_does_not_depend_on_the_scale_of_all_gradients(scale: float) -> None:
    rows = random_rows()
    small = combine(CaGradConfig(), *scaled(rows, scale, scale, scale))
    assert [value / scale for value in small] == pytest.approx(combine(CaGradConfig(), *rows), rel=1e-3)


@pytest.mark.parametrize("ratio", [1e-3, 1e-5, 1e-8])
def test_cagrad_moves_however_small_one_gradient_is(ratio: float) -> None:
    rows = scaled(random_rows(), 1, 1, ratio)
    mean = torch.tensor(rows).mean(dim=0)
    distance = (torch.tensor(combine(CaGradConfig(), *rows)) / 3 - mean).norm() / mean.norm()
    # All of c along the small one; none where it cannot be told from rounding: d = g_0 as g_w goes to 0.
    assert distance.item() == pytest.approx(0.4 if ratio > 1e-6 else 0, abs=1e-3)


def test_cagrad_is_the_sum_where_the_worst_case_cannot_be_bettered() -> None:
    assert combine(CaGradConfig(), (1, 0), (-1, 0), (0, 1)) == pytest.approx([0, 1], abs=1e-6)


def test_methods_differ_on_a_conflict() -> None:
    answers = {tuple(round(value, 2) for value in combine(config, *random_rows())) for config in METHODS}
    assert len(answers) == len(METHODS)


def test_random_choices_follow_the_seed_alone() -> None:
    generator = torch.Generator().manual_seed(1)
    rows = tuple(tuple(row) for row in torch.randn(5, 3, generator=generator).tolist())
    for config in (PcGradConfig(), GradDropConfig()):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        first = combine(config, *rows, seed=7)
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        assert combine(config, *rows, seed=7) == first
        assert any(combine(config, *rows, seed=seed) != first for seed in range(6))


@pytest.mark.parametrize("split", [0, 1, 2])
def test_nash_mtl_goes_on_from_its_state(split: int) -> None:
    config = NashMtlConfig(every=2)
    matrices = [shared(*scaled(random_rows(), 1, 1 + step, 1)) for step in range(4)]
    whole, first, second = (TorchJdCombiner(config) for _ in range(3))
    expected = [whole.combine(matrix, {}, 0) for matrix in matrices]
    for matrix in matrices[:split]:
        first.combine(matrix, {}, 0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for matrix, answer in zip(matrices[split:], expected[split:], strict=True):
        assert torch.equal(second.combine(matrix, {}, 0), answer)
    assert second.state_dict() == whole.state_dict()
    second.load_state_dict(whole.state_dict() | {"calls": 0})
    with pytest.raises(ValueError, match="2 tasks"):
        second.combine(shared(*CONFLICT), {}, 0)
    with pytest.raises(ValueError, match="pcgrad"):
        TorchJdCombiner(PcGradConfig()).load_state_dict(whole.state_dict())


def test_nash_mtl_goes_on_when_a_task_comes_back() -> None:
    rows = random_rows()
    without, fresh = TorchJdCombiner(NashMtlConfig()), TorchJdCombiner(NashMtlConfig())
    missing = shared(*rows[:2], (0.0,) * 6)
    expected = without.combine(shared(*rows), {}, 0)
    without.combine(missing, {}, 0)
    fresh.load_state_dict(json.loads(json.dumps(without.state_dict())))
    answers = [combiner.combine(shared(*rows), {}, 0) for combiner in (without, fresh)]
    assert torch.equal(*answers)
    torch.testing.assert_close(answers[0], expected, rtol=0.05, atol=0.01)


def test_gradients_that_are_not_finite_stay_so() -> None:
    for config in METHODS:
        combined: Tensor = TorchJdCombiner(config).combine(shared((1, math.nan), (1, 1)), {}, 0)
        assert not torch.isfinite(combined).all()


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchjd_methods, "find_spec", lambda name: None if name in ("torchjd", "ecos") else object())
    with pytest.raises(ValueError, match=r"pcgrad needs torchjd.*pip install \"torchjd==0\.18\.0\""):
        TorchJdCombiner(PcGradConfig())
    with pytest.raises(ValueError, match=r"torchjd and ecos.*pip install \"torchjd\[nash-mtl\]==0\.18\.0\""):
        TorchJdCombiner(NashMtlConfig())
