"""Cones and capsules: spans against a dense march of their implicit forms, normals against its gradient."""

import math

import pytest
import torch

from training.data.material import Material
from training.data.primitives import BOX, CAPSULE, CONE, CYLINDER, ELLIPSOID, ROUNDED, Part, pack
from training.data.solids import local_normals, primitive_span

SHAPES = {
    "cone": (CONE, (0.3, 0.5, 0.2), 0.0),
    "frustum": (CONE, (0.4, 0.2, 0.4), 0.6),
    "tube": (CONE, (0.2, 0.4, 0.2), 1.0),
    "capsule": (CAPSULE, (0.15, 0.5, 0.15), 0.0),
    "ball": (CAPSULE, (0.3, 0.3, 0.3), 0.0),
}


def inside(kind: int, half: tuple[float, ...], share: float, point_3P: torch.Tensor) -> torch.Tensor:
    """A smooth function that is negative inside the solid (caps of the cone excluded)."""
    x, y, z = point_3P
    if kind == CAPSULE:
        rod = half[1] - half[0]
        return (x**2 + (y - y.clamp(-rod, rod)) ** 2 + z**2).sqrt() - half[0]
    radius = (1 + share) / 2 + (1 - share) / 2 * y / half[1]
    return ((x / half[0]) ** 2 + (z / half[2]) ** 2).sqrt() - radius


@pytest.mark.parametrize("name", SHAPES)
def test_spans_equal_a_dense_march(name):
    kind, half, share = SHAPES[name]
    generator = torch.Generator().manual_seed(3)
    origin = torch.tensor([1.5, -0.7, -3.0])
    target = (torch.rand(3, 400, generator=generator) - 0.5) * 0.8
    rays = target - origin[:, None]
    rays = rays / rays[2]
    entry, leave = primitive_span(kind, list(half), share, origin.tolist(), rays)
    steps = torch.linspace(2.0, 4.0, 4001)
    points = origin.double()[:, None, None] + rays.double()[:, :, None] * steps.double()
    within = inside(kind, half, share, points.reshape(3, -1)).view(400, -1) < 0
    within &= points[1].abs() <= half[1]
    hit = within.any(1)
    chord = within.sum(1) * 5e-4
    assert 80 < int(hit.sum()) < 400
    assert (entry <= leave)[chord > 2e-3].all()  # a grazing chord may fall either way
    assert not (entry < leave - 2e-3)[~hit].any()
    sure = chord > 0.02
    first, last = steps[within.float().argmax(1)], steps[4000 - within.flip(1).float().argmax(1)]
    torch.testing.assert_close(entry[sure], first[sure], atol=6e-4, rtol=0)
    torch.testing.assert_close(leave[sure], last[sure], atol=6e-4, rtol=0)


@pytest.mark.parametrize("name", SHAPES)
def test_normals_are_the_gradient_and_caps_are_level(name):
    kind, half, share = SHAPES[name]
    origin = torch.tensor([0.9, -1.5, -3.0])
    target = (torch.rand(3, 300, generator=torch.Generator().manual_seed(4)) - 0.5) * 0.7
    rays = target - origin[:, None]
    entry, leave = primitive_span(kind, list(half), share, origin.tolist(), rays)
    point = (origin[:, None] + entry * rays)[:, entry < leave].double().requires_grad_()
    assert point.shape[1] > 60
    value = inside(kind, half, share, point)
    (expected,) = torch.autograd.grad(value.sum(), point)
    expected = expected / expected.norm(dim=0)
    cap = (value < -1e-3) & (kind == CONE)
    count = point.shape[1]
    normal = local_normals(
        torch.full((count,), kind), torch.tensor(half)[:, None].expand(3, count), torch.full((count,), share),
        point.detach().float(),
    )  # fmt: skip
    torch.testing.assert_close(normal.norm(dim=0), torch.ones(count), atol=1e-5, rtol=0)
    apart = value.abs() < 2e-5
    torch.testing.assert_close(normal[:, apart & ~cap].double(), expected[:, apart & ~cap], atol=2e-3, rtol=0)
    torch.testing.assert_close(normal[1, cap], -torch.ones(int(cap.sum())))
    if share > 0:
        assert cap.any()


@pytest.mark.parametrize("kind", [BOX, ROUNDED, CYLINDER, ELLIPSOID, CONE, CAPSULE])
def test_a_ray_along_the_axis_spans_the_height(kind):
    entry, leave = primitive_span(kind, [0.2, 0.5, 0.2], 0.1, [0.01, 3.0, 0.01], torch.tensor([[1e-4], [-1.0], [0.0]]))
    assert float(entry) == pytest.approx(2.5, abs=5e-3)
    assert float(leave) == pytest.approx(3.5, abs=0.06 if kind == CONE else 5e-3)


def test_impossible_cones_and_capsules_are_refused():
    grey = Material(colour=(0.5, 0.5, 0.5))
    for part, name in (
        (Part(kind=CONE, centre=(0, 0, 0), half=(0.1, 0.1, 0.1), radius=1.2, label=1, material=grey), "radius"),
        (Part(kind=CAPSULE, centre=(0, 0, 0), half=(0.2, 0.1, 0.2), label=1, material=grey, tilt=math.pi), "half"),
    ):
        with pytest.raises(ValueError, match=name):
            pack((2, 1, 2), [grey] * 6, [0] * 6, [part], lights=[], suns=[], ambient=(1, 1, 1), focus=[])
