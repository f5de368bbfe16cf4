"""Several scenes and cameras as padded tensors, so that step n can test one solid of every scene at once.

Solids are sorted by kind; every kind's run is padded to a multiple of `STEP`, so that compiled kernels meet one shape.
A padded slot is never hit and casts no shadow. All lists become tensors here, on the host; nothing later reads a value
back.

Shape suffixes: B scenes, N slots, Q numbers of a solid, L lights, C chosen solids, M materials, K material fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from training.data.camera import Camera
from training.data.material import COLUMN
from training.data.primitives import BOX, CAPSULE, CONE, CYLINDER, ELLIPSOID, ROUNDED, Scene
from training.data.reflections import MIRROR, mirrored
from training.data.shading import shadow_threshold

STEP = 8
KINDS = (BOX, ROUNDED, CYLINDER, ELLIPSOID, CONE, CAPSULE)
SHELL = 6


@dataclass(frozen=True, kw_only=True)
class Beams:
    """Lamps and suns of B scenes, padded to L with dark ones.

    A lamp has a position (metres), an inverse-square strength and a half space (`facing`, zero for none); a sun has a
    direction, a pane that it shines through (centre, normal, along, half size [2]) and `sun` = 1.
    """

    position_3BL: Tensor
    colour_3BL: Tensor
    facing_3BL: Tensor
    size_BL: Tensor
    sun_BL: Tensor
    pane_centre_3BL: Tensor
    pane_normal_3BL: Tensor
    pane_along_3BL: Tensor
    pane_half_2BL: Tensor
    pane_area_BL: Tensor
    threshold_BL: Tensor


@dataclass(frozen=True, kw_only=True)
class SceneBatch:
    """B scenes seen by one camera each.

    runs: (kind, first slot, end slot) of every kind, the same for all scenes. solids: all slots of all scenes in one
    row (scene b's slot n is b * N + n = first_B[b] + n) for functions that look hits up. numbers: of each slot, for
    casting: rotation (row-major 9), camera position in its frame 3, half 3, radius 1, validity 1; slots come first, so
    that a step's part has the same strides whatever N is, and compiled steps fit every batch. original: number in its
    own scene. shades: slots of solids that throw shadows; occluders: of large ones; mirrored: of those seen in
    reflections (all padded with slot 0, a plane, which has no box).
    """

    runs: tuple[tuple[int, int, int], ...]
    slots: int
    solids: Scene
    numbers_NBQ: Tensor
    first_B: Tensor
    original_BN: Tensor
    label_BN: Tensor
    room_half_3B: Tensor
    room_centre_3B: Tensor
    ambient_3B: Tensor
    shades_CB: Tensor
    occluders_CB: Tensor
    mirrored_CB: Tensor
    mirrors: bool
    beams: Beams
    camera_rotation_B33: Tensor
    camera_position_3B: Tensor
    focal_B: Tensor
    centre_2B: Tensor
    distortion_B: Tensor
    height: int
    width: int

    def to(self, device: torch.device | str) -> SceneBatch:
        """The same batch on `device`."""
        return replace(
            self,
            solids=self.solids.to(device),
            beams=replace(self.beams, **_tensors(self.beams, device)),
            **_tensors(self, device),
        )


def _tensors(record: Beams | SceneBatch, device: torch.device | str) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}


def _pad(rows: Sequence[Tensor], multiple: int = STEP) -> Tensor:
    """Index lists [c] as one tensor [B, C], filled with 0; C is a multiple of `multiple` and at least that."""
    longest = max(max(len(row) for row in rows), 1)
    out = torch.zeros(len(rows), -(-longest // multiple) * multiple, dtype=torch.long)
    for b, row in enumerate(rows):
        out[b, : len(row)] = row
    return out


def _chosen(mask_BN: Tensor) -> Tensor:
    """Slots where the mask holds, padded with 0, int64 [C, B]."""
    return _pad([row.nonzero()[:, 0] for row in mask_BN]).T.contiguous()


def _sorted_slots(scenes: Sequence[Scene]) -> tuple[tuple[tuple[int, int, int], ...], Tensor]:
    """Runs of kinds, and for every slot its number in its own scene, int64 [B, N]; -1 in padded slots."""
    runs, columns, first = [], [torch.arange(SHELL).expand(len(scenes), -1)], SHELL
    for kind in KINDS:
        rows = [(scene.kind_N == kind).nonzero()[:, 0] + 1 for scene in scenes]
        if not any(len(row) for row in rows):
            continue
        block = _pad(rows) - 1
        columns.append(block)
        runs.append((kind, first, first + block.shape[1]))
        first += block.shape[1]
    return tuple(runs), torch.cat(columns, dim=1)


def _beams(scenes: Sequence[Scene]) -> Beams:
    longest = max(len(scene.lights) + len(scene.suns) for scene in scenes)
    count = max(4, -(-longest // 4) * 4)  # few sizes, because compiled shading unrolls over lights
    table = torch.zeros(len(scenes), count, 24)
    table[:, :, 9] = 0.1
    table[:, :, 23] = 1e9  # a dark light is shadowed by nothing
    for b, scene in enumerate(scenes):
        for k, light in enumerate(scene.lights):
            row: tuple[float, ...] = (
                *light.position,
                *light.colour,
                *(light.facing or (0.0, 0.0, 0.0)),
                light.size,
                0.0,
            )
            table[b, k, :11] = torch.tensor(row)
            table[b, k, 23] = shadow_threshold(light.size)
        for k, sun in enumerate(scene.suns, start=len(scene.lights)):
            row = (*sun.towards, *sun.colour, 0.0, 0.0, 0.0, 0.005, 1.0, *sun.pane_centre, *sun.pane_normal,
                   *sun.pane_along, *sun.pane_half)  # fmt: skip
            table[b, k, :22] = torch.tensor(row)
            through = sum(a * c for a, c in zip(sun.towards, sun.pane_normal, strict=True))
            table[b, k, 22] = 4 * sun.pane_half[0] * sun.pane_half[1] * abs(through)
            table[b, k, 23] = shadow_threshold(0.0)
    t = table.permute(2, 0, 1).contiguous()
    return Beams(
        position_3BL=t[0:3], colour_3BL=t[3:6], facing_3BL=t[6:9], size_BL=t[9], sun_BL=t[10], pane_centre_3BL=t[11:14],
        pane_normal_3BL=t[14:17], pane_along_3BL=t[17:20], pane_half_2BL=t[20:22], pane_area_BL=t[22],
        threshold_BL=t[23],
    )  # fmt: skip


def batch_scenes(scenes: Sequence[Scene], cameras: Sequence[Camera]) -> SceneBatch:
    """Pack indoor scenes (on the CPU) with one camera each, all of one frame size.

    Raises ValueError where counts or sizes differ, or for a scene outdoors.
    """
    if len(scenes) != len(cameras) or not scenes:
        raise ValueError(f"cameras: expected one for each of {len(scenes)} scenes (at least 1), found {len(cameras)}")
    sizes = {(camera.height, camera.width) for camera in cameras}
    if len(sizes) > 1:
        raise ValueError(f"cameras: expected one frame size, found {sorted(sizes)}")
    if any(scene.outdoors is not None for scene in scenes):
        raise ValueError("scenes: expected indoor scenes, found one outdoors")
    runs, original = _sorted_slots(scenes)
    valid, take = original >= 0, original.clamp(min=0)
    slots = original.shape[1]
    first_material = torch.tensor([len(scene.material_MK) for scene in scenes]).cumsum(0).roll(1)
    first_material[0] = 0

    def gather(name: str) -> Tensor:
        return torch.stack([getattr(scene, name)[take[b]] for b, scene in enumerate(scenes)])

    kind, rotation, centre = gather("kind_N"), gather("rotation_N33"), gather("centre_N3")
    half, radius = gather("half_N3"), gather("radius_N")
    position_B3 = torch.tensor([camera.position for camera in cameras])
    local = ((position_B3[:, None] - centre)[:, :, None] @ rotation)[:, :, 0]
    numbers = torch.cat([rotation.flatten(2), local, half, radius[..., None], valid[..., None].float()], dim=2)
    casts = gather("casts_N") & valid
    spread = half.sort(dim=2).values
    area = spread[..., 1] * spread[..., 2]
    solid = valid & (torch.arange(slots) >= SHELL)
    solids = Scene(
        room_half=scenes[0].room_half, kind_N=kind.flatten(), rotation_N33=rotation.flatten(0, 1),
        centre_N3=centre.flatten(0, 1), half_N3=half.flatten(0, 1), radius_N=radius.flatten(),
        label_N=gather("label_N").flatten(), material_N=(gather("material_N") + first_material[:, None]).flatten(),
        casts_N=casts.flatten(), material_MK=torch.cat([scene.material_MK for scene in scenes]),
    )  # fmt: skip
    return SceneBatch(
        runs=runs, slots=slots, solids=solids, numbers_NBQ=numbers.transpose(0, 1).contiguous(),
        first_B=slots * torch.arange(len(scenes)), original_BN=take, label_BN=gather("label_N"),
        room_half_3B=torch.tensor([scene.room_half for scene in scenes]).T,
        room_centre_3B=torch.tensor([scene.room_centre for scene in scenes]).T,
        ambient_3B=torch.tensor([scene.ambient for scene in scenes]).T,
        shades_CB=_chosen(casts & (area > shadow_threshold(0.0) ** 2)),
        occluders_CB=_chosen(casts & (area > 0.12**2)),
        mirrored_CB=_chosen(solid & mirrored(half)),
        mirrors=bool((solids.material_MK[:, COLUMN["mirror"]] > MIRROR).any()),
        beams=_beams(scenes),
        camera_rotation_B33=torch.stack([camera.rotation for camera in cameras]), camera_position_3B=position_B3.T,
        focal_B=torch.tensor([camera.focal for camera in cameras]),
        centre_2B=torch.tensor([(camera.cx, camera.cy) for camera in cameras]).T,
        distortion_B=torch.tensor([camera.distortion for camera in cameras]),
        height=cameras[0].height, width=cameras[0].width,
    )  # fmt: skip
