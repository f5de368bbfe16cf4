"""Connection strength: equations by hand, invariances, safety of the second phase, the draw between phases."""

import itertools
import math

import pytest
import torch

from training.connection_strength import (
    ConnectionStrengthConfig,
    conserve,
    conserves,
    owners,
    relative_strength,
    strength,
)

A, B = 0, 1


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(seed: int, tasks: int = 4, channels: int = 12, inputs: int = 3) -> dict[str, torch.Tensor]:
    generator = seeded(seed)
    return {
        "weight": torch.randn(channels, inputs, 3, 3, generator=generator, dtype=torch.float64),
        "gammas_KP": torch.randn(tasks, channels, generator=generator, dtype=torch.float64),
        "variances_KP": 0.1 + torch.rand(tasks, channels, generator=generator, dtype=torch.float64),
    }


def test_two_channels_by_hand() -> None:
    weight = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    gammas = torch.tensor([[1.0, 1.0], [2.0, 1.0]])
    relative = relative_strength(strength(weight, gammas, torch.ones(2, 2), eps=0.0))
    assert relative.tolist() == [pytest.approx([0.2, 0.8]), pytest.approx([0.5, 0.5])]
    owner = owners(relative)
    assert owner.tolist() == [B, A]
    gradients = torch.tensor([[[1.0], [1.0]], [[-2.0], [-1.0]]])
    assert conserve(gradients, owner).flatten().tolist() == [-2.0, 1.0]


def test_the_mean_of_squares_of_a_kernel_is_summed_over_the_inputs_it_sees() -> None:
    ones = torch.ones(2, 2)
    weight = torch.full((2, 3, 3, 3), 2.0)
    assert strength(weight, ones, ones, eps=0.0).tolist() == [[12.0, 12.0]] * 2
    depthwise = torch.nn.Conv2d(6, 2, 3, groups=2).weight.detach().fill_(2.0)
    assert strength(depthwise, ones, ones, eps=0.0).tolist() == [[12.0, 12.0]] * 2
    assert strength(weight, ones, torch.zeros(2, 2)).tolist() == [[pytest.approx(12e5)] * 2] * 2


def test_a_group_is_projected_as_one() -> None:
    owner = torch.tensor([A, A])
    of_a = [[1.0, 0.0], [1.0, 0.0]]
    agreeing = torch.tensor([of_a, [[-1.0, 1.0], [3.0, 1.0]]])
    assert conserve(agreeing, owner).tolist() == [[0.0, 1.0], [4.0, 1.0]]
    opposing = torch.tensor([of_a, [[-3.0, 1.0], [1.0, 1.0]]])
    assert conserve(opposing, owner).tolist() == [[-1.0, 1.0], [3.0, 1.0]]


def test_equal_strengths_belong_to_the_first_task() -> None:
    assert owners(torch.tensor([[0.5, 0.2, 0.3], [0.5, 0.4, 0.1], [0.0, 0.4, 0.6]])).tolist() == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_relative_strengths_sum_to_one_and_no_task_leads_everywhere(seed: int) -> None:
    relative = relative_strength(strength(**drawn(seed), eps=1e-5))
    assert relative.sum(dim=1) == pytest.approx(torch.ones(4, dtype=torch.float64))
    for task in range(4):
        others = relative[[other for other in range(4) if other != task]]
        assert not bool((relative[task] > others.max(dim=0).values).all())


@pytest.mark.parametrize("seed", range(3))
def test_invariances_of_relative_strength(seed: int) -> None:
    given = drawn(seed)
    relative = relative_strength(strength(**given, eps=0.0))
    larger = relative_strength(strength(**(given | {"weight": 3.0 * given["weight"]}), eps=0.0))
    torch.testing.assert_close(larger, relative)
    gammas = given["gammas_KP"] * torch.tensor([1.0, 5.0, 1.0, 1.0], dtype=torch.float64)[:, None]
    torch.testing.assert_close(relative_strength(strength(**(given | {"gammas_KP": gammas}), eps=0.0)), relative)
    scale = 0.5 + torch.rand(12, generator=seeded(seed), dtype=torch.float64)
    moved = {
        "weight": given["weight"] * scale[:, None, None, None],
        "variances_KP": given["variances_KP"] * scale.square(),
    }
    torch.testing.assert_close(strength(**(given | moved), eps=0.0), strength(**given, eps=0.0))


@pytest.mark.parametrize("seed", range(5))
def test_an_owners_group_never_moves_against_it(seed: int) -> None:
    generator = seeded(seed)
    gradients = torch.randn(4, 12, 5, generator=generator, dtype=torch.float64)
    owner = torch.randint(4, (12,), generator=generator)
    result = conserve(gradients, owner)
    for task in range(4):
        mine, group = gradients[task, owner == task], result[owner == task]
        assert float((mine * group).sum()) >= float(mine.square().sum()) - 1e-9


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[1::5])
def test_the_order_of_tasks_does_not_matter(order: tuple[int, ...]) -> None:
    gradients = torch.randn(4, 12, 5, generator=seeded(1), dtype=torch.float64)
    owner = torch.randint(4, (12,), generator=seeded(2))
    moved = torch.tensor([order.index(int(task)) for task in owner])
    torch.testing.assert_close(conserve(gradients[list(order)], moved), conserve(gradients, owner))


def test_without_conflict_the_gradient_is_the_sum() -> None:
    generator = seeded(0)
    agreeing = torch.rand(4, 12, 5, generator=generator)
    owner = torch.randint(4, (12,), generator=generator)
    assert torch.equal(conserve(agreeing, owner), agreeing.sum(dim=0))
    alone = torch.randn(1, 12, 5, generator=generator)
    assert torch.equal(conserve(alone, torch.zeros(12, dtype=torch.int64)), alone[0])
    without_owner = torch.randn(2, 12, 5, generator=generator)
    without_owner[0] = 0
    assert torch.equal(conserve(without_owner, torch.zeros(12, dtype=torch.int64)), without_owner.sum(dim=0))


def test_the_second_phase_begins_never_and_ends_almost_always() -> None:
    config, epochs, draws = ConnectionStrengthConfig(), 10, 2000
    for epoch in range(epochs):
        share = sum(conserves(config, 7, epoch * draws + n, epoch, epochs) for n in range(draws)) / draws
        expected = epoch / epochs
        assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws))
    sequences = [[conserves(config, seed, step, 5, 10) for step in range(200)] for seed in (1, 1, 2)]
    assert sequences[0] == sequences[1] != sequences[2]


def test_a_draw_may_hold_for_an_epoch_and_a_phase_for_a_run() -> None:
    by_epoch = ConnectionStrengthConfig(granularity="epoch")
    drawn_in = {epoch: {conserves(by_epoch, 0, step, epoch, 20) for step in range(30)} for epoch in range(20)}
    assert all(len(found) == 1 for found in drawn_in.values())
    assert {True, False} == set.union(*drawn_in.values())
    assert not conserves(ConnectionStrengthConfig(phases="first"), 0, 0, 9, 10)
    assert conserves(ConnectionStrengthConfig(phases="second"), 0, 0, 0, 10)
