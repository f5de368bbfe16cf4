"""The training loop, on Lightning Fabric: one function from a recipe to a folder of checkpoints and logs.

A run is exactly resumable: batches follow from seed and step, augmentation from a generator of seed and step, the
learning rate from the step, and a checkpoint holds weights, moving average, optimiser and random states. The same
recipe interrupted and resumed on the same machine gives the same weights as without interruption.
"""

import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from models.build import build, config_to_dict
from training.checkpoint import META_FILE, find_checkpoint, load_checkpoint, load_training_state, save_checkpoint
from training.config_json import to_json
from training.data.shards import ShardedDataset
from training.datasets import DEFAULT_ROOT, in_order, open_dataset, read_batch
from training.ema import MovingAverage
from training.epoch_order import EpochOrder
from training.objectives.build import build_objective
from training.objectives.objective import Batch, Objective
from training.prefetch import prefetched
from training.recipes import Recipe
from training.run_log import RunLog
from training.schedule import learning_rate_scale
from training.state_tree import restore_layout

MAY_CHANGE_ON_RESUME = {"steps", "evaluate_every", "checkpoint_every", "log_every"}
EVALUATION_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how long to run; nothing here changes what is learnt.

    out: folder of the run. device: "cpu", "cuda" or "auto"; devices: processes (torchrun or Fabric start them).
    max_seconds: stop, evaluate and save after this many seconds of training. resume: go on from the latest checkpoint
    in `out` where there is one. threads: of this process, 0 leaves PyTorch's choice.
    """

    out: Path
    data_root: Path = DEFAULT_ROOT
    device: str = "cpu"
    devices: int = 1
    max_seconds: float | None = None
    resume: bool = True
    threads: int = 0
    progress: bool = True


@dataclass(kw_only=True)
class _Progress:
    """What changes while a run goes on, besides tensors."""

    step: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_step: int | None = None
    metrics: dict[str, float] | None = None
    skipped: int = 0


def train(recipe: Recipe, options: RunOptions) -> dict[str, Any]:
    """Trains `recipe` in `options.out` and returns {step, finished, seconds, metrics, best, best_step, checkpoint}.

    Raises ValueError when the folder holds a run of another recipe.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = Fabric(accelerator=options.device, devices=options.devices, precision=recipe.precision)
    fabric.launch()
    torch.manual_seed(recipe.seed)
    network = build(recipe.model)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a form the stubs lack
    optimizer = _optimizer(network, recipe)
    model, optimizer = fabric.setup(network, optimizer)
    average = MovingAverage(network, recipe.ema_decay) if recipe.ema_decay is not None else None
    objective = build_objective(recipe)
    objective.to(fabric.device)

    progress = _Progress()
    resumed = _resume(recipe, options, network, optimizer, average, progress) if options.resume else None
    log = RunLog(
        options.out if fabric.is_global_zero else options.out / f"rank-{fabric.global_rank}",
        step=progress.step,
        steps=recipe.steps,
        name=recipe.name,
        progress=options.progress and fabric.is_global_zero,
    )
    if resumed:
        log.message(f"resumed {resumed} at step {progress.step}")
    training = open_dataset(recipe.data, options.data_root, "train")
    validation = open_dataset(recipe.data, options.data_root, "validation")
    order = EpochOrder(len(training), recipe.batch_size, seed=recipe.seed, shard_size=recipe.data.shard_size)
    share = slice(fabric.global_rank, None, fabric.world_size)
    steps = range(progress.step, recipe.steps)
    batches = prefetched(steps, lambda step: read_batch(training, order.indices(step)[share]))

    def save(best: bool) -> Path | None:
        if not fabric.is_global_zero:
            return None
        return save_checkpoint(
            options.out / "checkpoints",
            step=progress.step,
            weights=(average.model if average else network).state_dict(),
            training_state=_training_state(network, optimizer, average),
            meta=_meta(recipe, progress, fabric),
            best=best,
        )

    def judge() -> bool:
        """Evaluates; whether this is the best yet."""
        judged = average.model if average else network
        progress.metrics = _evaluate(judged, objective, validation, fabric, log, progress.step)
        value = progress.metrics[objective.best_metric]
        better = progress.best is None or (value < progress.best if objective.best_is_lower else value > progress.best)
        if better:
            progress.best, progress.best_step = value, progress.step
        return better

    start, earlier, stopped, checkpoint = time.monotonic(), progress.seconds, False, resumed
    window = _Window(recipe.batch_size)
    model.train()
    with _stop_on_signals() as stop_asked:
        for batch in batches:
            terms = _update(fabric, model, optimizer, objective, fabric.to_device(batch), recipe, progress)
            if average:
                average.update(progress.step)
            progress.step += 1
            progress.seconds = earlier + time.monotonic() - start
            window.add(terms)
            log.advance()
            if progress.step % recipe.log_every == 0 or progress.step == recipe.steps:
                log.training(progress.step, window.result() | {"seconds": progress.seconds})
            late = options.max_seconds is not None and time.monotonic() - start >= options.max_seconds
            asked, late = _agreed(fabric, bool(stop_asked)), _agreed(fabric, late)
            stopped = asked or late
            last = progress.step == recipe.steps or stopped
            evaluated = better = False
            if not asked and (last or progress.step % recipe.evaluate_every == 0):
                evaluated, better = True, judge()
                window.restart()
            if last or evaluated or progress.step % recipe.checkpoint_every == 0:
                checkpoint = save(better) or checkpoint
                window.restart()
            if stopped:
                break
    batches.close()
    log.close()
    return {
        "recipe": recipe.name,
        "step": progress.step,
        "finished": progress.step >= recipe.steps,
        "seconds": round(progress.seconds, 1),
        "skipped_updates": progress.skipped,
        "metrics": progress.metrics,
        "best": progress.best,
        "best_step": progress.best_step,
        "checkpoint": str(checkpoint) if checkpoint else None,
    }


def _update(
    fabric: Fabric,
    model: nn.Module,
    optimizer: Any,
    objective: Objective,
    batch: Batch,
    recipe: Recipe,
    progress: _Progress,
) -> dict[str, float]:
    """One optimiser step; an update whose gradient is not finite is skipped and counted."""
    stream = recipe.seed * 2_147_483_629 + progress.step * 7_919 + fabric.global_rank * 104_729 + 17
    generator = torch.Generator().manual_seed(stream % 2**63)
    scale = learning_rate_scale(progress.step, steps=recipe.steps, warmup=recipe.warmup, schedule=recipe.schedule)
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * scale
    terms = objective.loss(model, batch, generator)
    optimizer.zero_grad(set_to_none=True)
    fabric.backward(terms["total"])
    norm = fabric.clip_gradients(model, optimizer, max_norm=recipe.clip_norm, error_if_nonfinite=False)
    assert norm is not None  # clip_gradients answers the norm when asked for max_norm
    if torch.isfinite(norm):
        optimizer.step()
    else:
        progress.skipped += 1
    values = {name: float(value.detach()) for name, value in terms.items()}
    return values | {"gradient_norm": float(norm), "learning_rate": recipe.learning_rate * scale}


def _evaluate(
    model: nn.Module, objective: Objective, validation: ShardedDataset, fabric: Fabric, log: RunLog, step: int
) -> dict[str, float]:
    """Metrics and pictures of the validation set; leaves mode and random state as they were."""
    training = model.training
    model.eval()
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(0)
        moved = (fabric.to_device(batch) for batch in in_order(validation, EVALUATION_BATCH))
        metrics = objective.evaluate(model, moved)
        first = fabric.to_device(next(in_order(validation, EVALUATION_BATCH)))
        if fabric.is_global_zero:
            log.validation(step, metrics, objective.images(model, first))
    model.train(training)
    fabric.barrier()
    return metrics


def _agreed(fabric: Fabric, choice: bool) -> bool:
    """What the first process chose, in all of them."""
    return bool(fabric.broadcast(choice)) if fabric.world_size > 1 else choice


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW; biases and normalisation weights do not decay."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, foreach=True)


def _training_state(network: nn.Module, optimizer: Any, average: MovingAverage | None) -> dict[str, Any]:
    random: dict[str, Any] = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        random["cuda"] = torch.cuda.get_rng_state_all()
    return {
        "network": dict(network.state_dict()) if average else {},
        "optimizer": optimizer.state_dict(),
        "random": random,
    }


def _resume(
    recipe: Recipe,
    options: RunOptions,
    network: nn.Module,
    optimizer: Any,
    average: MovingAverage | None,
    progress: _Progress,
) -> Path | None:
    """Loads the latest checkpoint of the run, if there is one; answers its folder."""
    if not (options.out / "checkpoints" / "latest").is_file():
        return None
    folder = find_checkpoint(options.out)
    checkpoint, state = load_checkpoint(folder), load_training_state(folder)
    _require_same_recipe(checkpoint.meta["recipe"], to_json(recipe), folder)
    if average:
        average.model.load_state_dict(checkpoint.state_dict)
    network.load_state_dict(state["network"] if average else checkpoint.state_dict)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    saved = state["optimizer"]
    for index, entry in saved["state"].items():
        saved["state"][index] = {
            name: restore_layout(value, parameters[index]) if isinstance(value, Tensor) else value
            for name, value in entry.items()
        }
    optimizer.load_state_dict(saved)
    torch.set_rng_state(state["random"]["cpu"])
    if torch.cuda.is_available() and "cuda" in state["random"]:
        torch.cuda.set_rng_state_all(state["random"]["cuda"])
    meta = checkpoint.meta
    progress.step, progress.seconds = meta["step"], meta["seconds"]
    progress.best, progress.best_step = meta["best"], meta["best_step"]
    progress.metrics, progress.skipped = meta["metrics"], meta["skipped_updates"]
    return folder


def _require_same_recipe(saved: Mapping[str, Any], given: Mapping[str, Any], folder: Path) -> None:
    for key in sorted(set(saved) | set(given)):
        if key not in MAY_CHANGE_ON_RESUME and saved.get(key) != given.get(key):
            raise ValueError(
                f"{folder / META_FILE}: expected the recipe that it was begun with, found another {key!r}: "
                f"{saved.get(key)!r} there, {given.get(key)!r} here; use another --out or --fresh"
            )


def _meta(recipe: Recipe, progress: _Progress, fabric: Fabric) -> dict[str, Any]:
    device = torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else "cpu"
    return {
        "recipe": to_json(recipe),
        "objective": recipe.objective,
        "model": config_to_dict(recipe.model),
        "ema": recipe.ema_decay is not None,
        "images_seen": progress.step * recipe.batch_size,
        "seconds": progress.seconds,
        "device": device,
        "torch": torch.__version__,
        "commit": current_commit(),
        "metrics": progress.metrics,
        "best": progress.best,
        "best_step": progress.best_step,
        "skipped_updates": progress.skipped,
    }


def current_commit() -> str:
    """The commit of the working tree, "unknown" outside a repository."""
    here = Path(__file__).parent
    answer = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return answer.stdout.strip() if answer.returncode == 0 else "unknown"


@contextmanager
def _stop_on_signals() -> Iterator[list[int]]:
    """A list that SIGTERM and SIGINT append to, so that the loop saves before it stops. Main thread only."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        previous = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: signals stay as they are
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Window:
    """Means of the loss terms and speed since the last log line; evaluation and saving do not count as training."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._terms: dict[str, float] = {}
        self._count = 0
        self._elapsed = 0.0
        self._since = time.monotonic()

    def add(self, terms: Mapping[str, float]) -> None:
        now = time.monotonic()
        self._elapsed += now - self._since
        self._since = now
        self._count += 1
        for name, value in terms.items():
            self._terms[name] = self._terms.get(name, 0.0) + value

    def result(self) -> dict[str, float]:
        means = {name: value / self._count for name, value in self._terms.items()}
        means["images_per_second"] = self._count * self._batch_size / max(self._elapsed, 1e-9)
        self._terms, self._count, self._elapsed = {}, 0, 0.0
        return means

    def restart(self) -> None:
        """Leaves out the time since the last step."""
        self._since = time.monotonic()
