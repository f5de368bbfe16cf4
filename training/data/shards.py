"""A cache of generated samples: safetensors shards that are made on demand and always complete.

`python -m training render <recipe>` makes them with several processes; a dataset that meets a missing shard makes it
itself. Writes are atomic: temporary file, fsync, rename.

Stored compactly: colour as uint8, depth as a 16-bit logarithm (within 0.008 % from 0.02 to 200 m), normals as
int8 / 127, flow as int16 / 32 px, inverse depth as float16. Samples come back as float32 (labels, regions and masks as
uint8).
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from training.data.pairs import PairConfig, render_pairs
from training.data.rooms import RoomConfig, render_rooms

GENERATOR_VERSION = 4
"""Raised whenever the same seed gives another picture: an older cache can still be read, but not extended."""

SEEDS_PER_SET = 10_000_000
"""Sets of the seeds 0 to 428 share no sample; beyond, they begin to repeat, since `Draw` tells 2**32 seeds apart."""

Config = RoomConfig | PairConfig


@dataclass(frozen=True, kw_only=True)
class Code:
    """How one field is stored: stored = round(value * scale) in `dtype`; `limit` is the largest stored magnitude."""

    dtype: torch.dtype
    scale: float = 1.0
    limit: float | None = None

    def encode(self, value: Tensor) -> Tensor:
        if self.limit is None:
            return value.to(self.dtype).contiguous()
        low = 0.0 if self.dtype == torch.uint8 else -self.limit
        return (value * self.scale).round().clamp(low, self.limit).to(self.dtype).contiguous()

    def decode(self, stored: Tensor) -> Tensor:
        if self.limit is None:
            return stored.float() if stored.dtype == torch.float16 else stored
        return stored.float() / self.scale


@dataclass(frozen=True, kw_only=True)
class LogCode:
    """Positive values from `low` to `high` as int16 steps of their logarithm; 0 (invalid) has a code of its own.

    Values outside the range are moved to its ends. The largest error is half a step: 0.007 % for 0.02 to 200 m.
    """

    low: float
    high: float

    _INVALID = -32768
    _FIRST = -32767
    _STEPS = 65534

    def encode(self, value: Tensor) -> Tensor:
        scale = self._STEPS / math.log(self.high / self.low)
        steps = ((value.double().clamp(self.low, self.high) / self.low).log() * scale).round() + self._FIRST
        return torch.where(value > 0, steps, self._INVALID).to(torch.int16).contiguous()

    def decode(self, stored: Tensor) -> Tensor:
        scale = math.log(self.high / self.low) / self._STEPS
        value = self.low * ((stored.float() - self._FIRST) * scale).exp()
        return torch.where(stored == self._INVALID, 0.0, value)


_COLOUR = Code(dtype=torch.uint8, scale=255.0, limit=255.0)
_EXACT = Code(dtype=torch.float32)
_BYTES = Code(dtype=torch.uint8)

CODES: dict[str, dict[str, Code | LogCode]] = {
    "rooms": {
        "image": _COLOUR,
        "depth": LogCode(low=0.02, high=200.0),
        "label": _BYTES,
        "normal": Code(dtype=torch.int8, scale=127.0, limit=127.0),
        "intrinsics": _EXACT,
    },
    "pairs": {
        "target": _COLOUR,
        "reference": _COLOUR,
        "flow": Code(dtype=torch.int16, scale=32.0, limit=32767.0),
        "region": _BYTES,
        "inverse_depth": Code(dtype=torch.float16),
        "target_intrinsics": _EXACT,
        "reference_intrinsics": _EXACT,
        "rotation": _EXACT,
        "translation": _EXACT,
        "stitched": _COLOUR,
        "canvas_offset": _EXACT,
        "seen": _BYTES,
    },
}


def _write_atomically(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class ShardedDataset(Dataset[dict[str, Tensor]]):
    """`count` generated samples of one source, kept under `root`.

    `dataset[i]` is a dict with the fields of `Frames` (source "rooms") or `Pairs` (source "pairs") without their batch
    suffix, and "index", an int64 scalar equal to i. The sample depends on (source, config, seed, i) alone.
    Raises ValueError when `root` holds a cache of something else, naming the field that differs, or a damaged one.
    """

    def __init__(
        self,
        root: Path | str,
        source: str,
        count: int,
        config: Config | None = None,
        seed: int = 0,
        shard_size: int = 64,
    ) -> None:
        if source not in CODES:
            raise ValueError(f"source: expected one of {sorted(CODES)}, found {source!r}")
        if count < 1 or shard_size < 1:
            raise ValueError(f"count, shard_size: expected at least 1, found {count}, {shard_size}")
        if not seed >= 0 or count > SEEDS_PER_SET:
            raise ValueError(f"seed, count: expected seed >= 0 and count <= {SEEDS_PER_SET}, found {seed}, {count}")
        expected: type[Config] = RoomConfig if source == "rooms" else PairConfig
        if config is not None and not isinstance(config, expected):
            raise ValueError(f"config: expected {expected.__name__} for {source}, found {type(config).__name__}")
        self.root, self.source, self.count, self.seed, self.shard_size = Path(root), source, count, seed, shard_size
        self.config: Config = config if config is not None else expected()
        self.root.mkdir(parents=True, exist_ok=True)
        self._check_index()

    def _check_index(self) -> None:
        path = self.root / "index.json"
        mine: dict[str, Any] = {
            "source": self.source, "seed": self.seed, "shard_size": self.shard_size, "config": asdict(self.config),
        }  # fmt: skip
        # Asked twice, since another process may begin the cache meanwhile; it writes the index before any shard.
        if not path.exists() and any(self.root.glob("*.safetensors")) and not path.exists():
            raise ValueError(
                f"{path}: expected the index of the shards beside it, found none; use another folder or delete this one"
            )
        if not path.exists():
            self.generator = GENERATOR_VERSION
            _write_atomically(path, json.dumps({**mine, "generator": GENERATOR_VERSION}, indent=1).encode())
            return
        try:
            found = json.loads(path.read_bytes())
            self.generator = found.get("generator")
        except (ValueError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected the index of a cache, found: {error}; delete this folder and it is made again"
            ) from error
        for name, value in json.loads(json.dumps(mine)).items():
            if found.get(name) != value:
                raise ValueError(
                    f"{path}: expected {name} = {value}, found {found.get(name)}; use another folder or delete this one"
                )

    def __len__(self) -> int:
        return self.count

    @property
    def shards(self) -> int:
        """Number of shards that hold the first `count` samples."""
        return -(-self.count // self.shard_size)

    def shard_path(self, shard: int) -> Path:
        """Where shard number `shard` is (or will be)."""
        return self.root / f"{shard:06d}.safetensors"

    def ensure_shard(self, shard: int) -> bool:
        """Make a shard if it is missing; True if it was made. A shard is always whole, whatever `count` is."""
        path = self.shard_path(shard)
        if path.exists():
            return False
        if self.generator != GENERATOR_VERSION:
            raise ValueError(
                f"{path}: expected generator = {GENERATOR_VERSION} to make a missing shard, found a cache of generator "
                f"{self.generator}; use another folder or delete this one"
            )
        fields = self._render(range(shard * self.shard_size, (shard + 1) * self.shard_size))
        _write_atomically(path, save(fields))
        return True

    def _render(self, numbers: range) -> dict[str, Tensor]:
        render: Callable[..., Any] = render_rooms if self.source == "rooms" else render_pairs
        codes = CODES[self.source]
        rows: dict[str, list[Tensor]] = {name: [] for name in codes}
        for number in numbers:
            sample = render([self.seed * SEEDS_PER_SET + number], self.config)
            for field, value in sample._asdict().items():
                name = field.rsplit("_", 1)[0]
                rows[name].append(codes[name].encode(value[0]))
        return {name: torch.stack(values) for name, values in rows.items()}

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(f"index: expected 0..{self.count - 1}, found {index}")
        shard, row = divmod(index, self.shard_size)
        self.ensure_shard(shard)
        path = self.shard_path(shard)
        sample: dict[str, Tensor] = {}
        try:
            with safe_open(str(path), framework="pt") as file:
                for name, code in CODES[self.source].items():
                    sample[name] = code.decode(file.get_slice(name)[row])
        except (SafetensorError, IndexError) as error:
            raise ValueError(
                f"{path}: expected a whole shard, found: {error}; delete it and it is made again"
            ) from error
        if "normal" in sample:
            sample["normal"] = torch.nn.functional.normalize(sample["normal"], dim=0)
        sample["index"] = torch.tensor(index)
        return sample
