"""Published ways to combine the tasks' gradients, through the library TorchJD: each sees the shared parameters only.

Most of them are functions of the Gramian of the tasks' gradients, K by K, which is worked out in float64 on the CPU.
TorchJD is an optional dependency, imported where a method is built.

Shapes: K tasks, n of them with a gradient, N values of all shared parameters.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

import torch
from torch import Tensor

from training.gradient_methods.combination import SharedGradients

VERSION = "0.18.0"
"""Of TorchJD; its interfaces still change between minor versions."""
SMALLEST_LENGTH = 1e-6
"""Ours: of CAGrad's g_w, relative to all gradients together; what is shorter cannot be told from rounding."""


@dataclass(frozen=True, kw_only=True)
class PcGradConfig:
    """Every gradient loses its component against each conflicting one (Yu et al., NeurIPS 2020, algorithm 1).

    The order of the projections is drawn anew at every step.
    """

    kind: Literal["pcgrad"] = "pcgrad"


@dataclass(frozen=True, kw_only=True)
class MgdaConfig:
    """The point of least norm in the gradients' convex hull (Désidéri 2012; Sener and Koltun, NeurIPS 2018).

    iterations: of the Frank-Wolfe solver, which is exact after one for two tasks.
    """

    kind: Literal["mgda"] = "mgda"
    iterations: int = 100


@dataclass(frozen=True, kw_only=True)
class CaGradConfig:
    """The best worst case within c times the mean gradient's length of it (Liu et al., NeurIPS 2021, algorithm 1).

    c: 0.4 in the paper for NYUD-v2 and Cityscapes; 0 is the plain sum. Needs a convex solver.
    """

    kind: Literal["cagrad"] = "cagrad"
    c: float = 0.4

    def __post_init__(self) -> None:
        if self.c < 0:
            raise ValueError(f"c: expected at least 0, found {self.c}")


@dataclass(frozen=True, kw_only=True)
class AlignedMtlConfig:
    """The gradients' principal components made equally long (Senushkin et al., CVPR 2023, algorithm 1).

    scale: that length, "min" the smallest (the paper), "median", or "rmse" (the authors' code).
    """

    kind: Literal["aligned_mtl"] = "aligned_mtl"
    scale: Literal["min", "median", "rmse"] = "min"


@dataclass(frozen=True, kw_only=True)
class NashMtlConfig:
    """The Nash bargaining solution between the tasks (Navon et al., ICML 2022, algorithm 1).

    every: steps for which one solution is kept. max_norm: the combination's longest length, None for any; the paper's
    code has 1. iterations: of the solver. Needs a convex solver, and up to some tenths of a second for each solution.
    """

    kind: Literal["nash_mtl"] = "nash_mtl"
    every: int = 1
    max_norm: float | None = 1.0
    iterations: int = 20

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"every: expected at least 1, found {self.every}")


@dataclass(frozen=True, kw_only=True)
class GradDropConfig:
    """At every value one sign is drawn and the gradients of the other dropped (Chen et al., NeurIPS 2020)."""

    kind: Literal["graddrop"] = "graddrop"


@dataclass(frozen=True, kw_only=True)
class ImtlGConfig:
    """The combination with equal projections on all gradients' directions (Liu et al., ICLR 2021, IMTL-G)."""

    kind: Literal["imtl_g"] = "imtl_g"


TorchJdConfig = (
    PcGradConfig | MgdaConfig | CaGradConfig | AlignedMtlConfig | NashMtlConfig | GradDropConfig | ImtlGConfig
)

SOLVERS = {"cagrad": ("cagrad", ("cvxpy", "clarabel")), "nash_mtl": ("nash-mtl", ("cvxpy", "ecos"))}
"""By method TorchJD's extra and what it installs."""


def require_torchjd(config: TorchJdConfig) -> None:
    """Raises ValueError with the command that installs what the method needs and does not find."""
    extra, solvers = SOLVERS.get(config.kind, ("", ()))
    missing = [name for name in ("torchjd", *solvers) if find_spec(name) is None]
    if missing:
        package = f"torchjd[{extra}]" if extra else "torchjd"
        raise ValueError(
            f"gradients: {config.kind} needs {' and '.join(missing)}, which is not installed here; "
            f'run: pip install "{package}=={VERSION}"'
        )


class TorchJdCombiner:
    """See `Combiner`. Methods that answer a mean are multiplied by K.

    A task whose gradient is 0, as where no image of the batch has its label, is not among the K and has the weight 1.
    So equal gradients, and with MGDA and CAGrad's c = 0 those of equal length at right angles, make the plain sum's
    step under every method but Nash-MTL; learning rates keep their meaning.
    """

    def __init__(self, config: TorchJdConfig) -> None:
        require_torchjd(config)
        self.config = config
        self._nash = _Nash(config) if isinstance(config, NashMtlConfig) else None
        self._weighting = _weighting(config)
        self._scalars: dict[str, float] = {}

    def combine(self, shared: SharedGradients, losses: Mapping[str, float], seed: int) -> Tensor:
        """The gradient [N]. Where a gradient is not finite it is the plain sum, which no step is taken along."""
        matrix_KN = shared.gradients_KN
        gramian_KK = (matrix_KN @ matrix_KN.T).double().cpu()
        if not torch.isfinite(gramian_KK).all():
            self._scalars = {}
            return matrix_KN.sum(dim=0)
        devices = [matrix_KN.device] if matrix_KN.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            if isinstance(self.config, GradDropConfig):
                from torchjd.aggregation import GradDrop

                return GradDrop()(matrix_KN)
            weights_K = self._weights(gramian_KK)
        self._scalars = {f"combination/{task}": w for task, w in zip(shared.tasks, weights_K.tolist(), strict=True)}
        return weights_K.to(matrix_KN) @ matrix_KN

    def _weights(self, gramian_KK: Tensor) -> Tensor:
        weights_K = torch.ones(len(gramian_KK), dtype=torch.float64)
        reached_K = gramian_KK.diagonal() > 0
        if not reached_K.any():
            return weights_K
        if self._nash is not None:
            weights_K[reached_K] = self._nash(gramian_KK, reached_K)
        else:
            weights_K[reached_K] = self._weighting(gramian_KK[reached_K][:, reached_K])
        return weights_K

    def scalars(self) -> dict[str, float]:
        """`combination/<task>`: what the task's gradient was multiplied by; nothing for GradDrop, which has no such."""
        return dict(self._scalars)

    def state_dict(self) -> dict[str, Any]:
        """Nash-MTL's last solution; nothing for the others."""
        return self._nash.state_dict() if self._nash is not None else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Raises ValueError for the state of another method."""
        if bool(state) != (self._nash is not None):
            raise ValueError(f"state: expected that of {self.config.kind}, found {sorted(state)}")
        if self._nash is not None:
            self._nash.load_state_dict(state)


def _weighting(config: TorchJdConfig) -> Callable[[Tensor], Tensor]:
    """From a Gramian [K,K] to weights [K], on the scale of the plain sum."""
    from torchjd.aggregation import AlignedMTLWeighting, CAGradWeighting, IMTLGWeighting, MGDAWeighting, PCGradWeighting

    if isinstance(config, MgdaConfig):
        return _times_tasks(MGDAWeighting(max_iters=config.iterations))
    if isinstance(config, CaGradConfig):
        return _times_tasks(_cagrad(CAGradWeighting(c=config.c, norm_eps=SMALLEST_LENGTH)))
    if isinstance(config, AlignedMtlConfig):
        return _times_tasks(AlignedMTLWeighting(scale_mode=config.scale))
    if isinstance(config, ImtlGConfig):
        return _times_tasks(IMTLGWeighting())
    return PCGradWeighting()


def _times_tasks(weighting: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda gramian_KK: len(gramian_KK) * weighting(gramian_KK)


def _cagrad(weighting: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The library answers 0 where g_w is too short; by algorithm 1 the gradient is then the mean g_0."""

    def weights(gramian_KK: Tensor) -> Tensor:
        weights_K = weighting(gramian_KK / gramian_KK.trace())
        return weights_K if weights_K.any() else torch.full_like(weights_K, 1 / len(weights_K))

    return weights


class _Nash:
    """Nash-MTL, which begins each solution with the one before. It is given a root of the Gramian for the gradients.

    A task without a gradient keeps its part of the last solution, 1 before the first.
    """

    def __init__(self, config: NashMtlConfig) -> None:
        self.config = config
        self._solver: Any = None
        self._alpha: list[float] = []
        self._calls = 0

    def __call__(self, gramian_KK: Tensor, reached_K: Tensor) -> Tensor:
        """Weights [n] of the n tasks that have a gradient, of which there is at least one."""
        self._alpha = self._alpha or [1.0] * len(gramian_KK)
        if len(self._alpha) != len(gramian_KK):
            raise ValueError(f"state: expected Nash-MTL of {len(gramian_KK)} tasks, found {len(self._alpha)}")
        gramian_nn = gramian_KK[reached_K][:, reached_K]
        alpha_K = torch.tensor(self._alpha, dtype=torch.float64)
        if self._calls % self.config.every == 0:
            alpha_K[reached_K] = self._solution(gramian_nn, alpha_K[reached_K])
            self._alpha = alpha_K.tolist()
        self._calls += 1
        alpha_n = alpha_K[reached_K]
        length = math.sqrt(max(float(alpha_n @ gramian_nn @ alpha_n), 0.0))
        longest = math.inf if self.config.max_norm is None else self.config.max_norm
        return alpha_n * min(1.0, longest / max(length, 1e-30))

    def _solution(self, gramian_nn: Tensor, begin_n: Tensor) -> Tensor:
        if len(gramian_nn) == 1:  # the library needs two; g^2 a = 1 / a
            return gramian_nn.diagonal().rsqrt()
        if self._solver is None or self._solver.n_tasks != len(gramian_nn):
            from torchjd.aggregation import NashMTL

            self._solver = NashMTL(n_tasks=len(gramian_nn), max_norm=0.0, optim_niter=self.config.iterations)
        values_n, vectors_nn = torch.linalg.eigh(gramian_nn)
        root_nn = vectors_nn * values_n.clamp(min=0).sqrt()
        self._solver.weighting.prvs_alpha = begin_n.numpy()
        with warnings.catch_warnings():  # cvxpy's about speed, and about solutions that are not precise
            warnings.simplefilter("ignore", UserWarning)
            self._solver(root_nn)
        return torch.as_tensor(self._solver.weighting.prvs_alpha)

    def state_dict(self) -> dict[str, Any]:
        return {"alpha": list(self._alpha), "calls": self._calls}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._alpha, self._calls, self._solver = list(state["alpha"]), state["calls"], None
