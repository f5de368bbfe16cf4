"""The training loop, on Lightning Fabric: one function from a recipe to a folder of checkpoints and logs.

A run is exactly resumable: batches follow from seed and step, augmentation from a generator of seed and step, the
learning rate from the step, and a checkpoint holds weights, moving average, random states and those of optimiser, task
weights and gradient method. The same recipe interrupted and resumed on the same machine gives the same weights as
without interruption.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from models.build import build, without_weights
from training.checkpoint import save_checkpoint
from training.config_json import from_json, to_json
from training.datasets import DEFAULT_ROOT, open_dataset, open_training, step_reader
from training.ema import MovingAverage
from training.epoch_order import EpochOrder
from training.evaluation import evaluate_in_training
from training.gradient_methods.build import build_gradients
from training.gradient_methods.conflict import conflict, require_measurable
from training.gradient_methods.gradient_method import GradientMethod, ReportsShares
from training.gradient_methods.update import Update
from training.objectives.build import build_objective
from training.objectives.objective import Objective
from training.optimizer import build_optimizer
from training.prefetch import prefetched
from training.progress import Progress, checkpoint_meta
from training.provenance import current_commit
from training.recipe import Recipe
from training.resumption import begin_from, has_checkpoint, resume, set_aside, training_state
from training.run_log import RunLog
from training.schedule import learning_rate_scale
from training.step_window import StepWindow
from training.stop_signals import stop_on_signals
from training.task_weighting.task_weighting import LABELLED, WeighsImages, WeighsTasks, labelled_losses


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where and how long to run; nothing here changes what is learnt.

    out: folder of the run. device: "cpu", "cuda" or "auto"; devices: processes of each machine (torchrun or Fabric
    start them); nodes: machines, which torchrun connects and whose folders `out` and `data_root` are shared.
    max_seconds: stop, evaluate and save after this many seconds of training. resume: go on from the latest checkpoint
    in `out` where there is one. threads: of this process, 0 leaves PyTorch's choice. conflicts: log the cosines of the
    tasks' gradients at every `log_every`-th step.
    """

    out: Path
    data_root: Path = DEFAULT_ROOT
    device: str = "cpu"
    devices: int = 1
    nodes: int = 1
    max_seconds: float | None = None
    resume: bool = True
    threads: int = 0
    progress: bool = True
    conflicts: bool = False


def train(recipe: Recipe, options: RunOptions) -> dict[str, Any]:
    """Trains `recipe` in `options.out`.

    Returns {recipe, step, finished, seconds, skipped_updates, metrics, best, best_step, checkpoint}. Raises ValueError
    for a recipe with a value that does not fit, and when the folder holds a run of another recipe.
    """
    recipe = from_json(Recipe, to_json(recipe))  # those of .py files have not been checked
    commit = current_commit()  # now, because files may be edited while the run goes on
    if options.threads:
        torch.set_num_threads(options.threads)
    fabric = Fabric(
        accelerator=options.device, devices=options.devices, num_nodes=options.nodes, precision=recipe.precision
    )
    fabric.launch()
    if recipe.batch_size < fabric.world_size:
        raise ValueError(
            f"batch_size: expected at least one image for each of {fabric.world_size} processes, "
            f"found {recipe.batch_size}"
        )
    network, model, optimizer, average, objective, gradients, progress, resumed = _begin_or_resume(
        recipe, options, fabric
    )
    log = RunLog(
        options.out if fabric.is_global_zero else options.out / f"rank-{fabric.global_rank}",
        step=progress.step,
        steps=recipe.steps,
        name=recipe.name,
        progress=options.progress and fabric.is_global_zero,
    )
    if resumed:
        log.message(f"resumed {resumed} at step {progress.step}")
    elif progress.started_from:
        log.message(progress.origin())
    training = open_training(recipe.data, options.data_root, fabric.device)
    validation = open_dataset(recipe.data, options.data_root, "validation")
    order = EpochOrder(len(training), recipe.batch_size, seed=recipe.seed, shard_size=training.shard_size)
    share = slice(fabric.global_rank, None, fabric.world_size)
    steps = range(progress.step, recipe.steps)
    batches = prefetched(steps, step_reader(training, order, share))

    def save(best: bool) -> Path | None:
        if not fabric.is_global_zero:
            return None
        return save_checkpoint(
            options.out / "checkpoints",
            step=progress.step,
            weights=(average.model if average else network).state_dict(),
            training_state=training_state(network, optimizer, average, objective, gradients),
            meta=checkpoint_meta(recipe, progress, fabric.device, commit),
            best=best,
        )

    def judge() -> bool:
        """Evaluates; whether this is the best yet."""
        judged = average.model if average else network
        progress.metrics = evaluate_in_training(judged, objective, validation, fabric, log, progress.step)
        if isinstance(gradients, ReportsShares):
            log.shares(progress.step, gradients.report(network))
        value = progress.metrics[objective.best_metric]
        better = math.isfinite(value) and (
            progress.best is None or (value < progress.best if objective.best_is_lower else value > progress.best)
        )
        if better:
            progress.best, progress.best_step = value, progress.step
        return better

    start, earlier, stopped = time.monotonic(), progress.seconds, False
    checkpoint = resumed
    window = StepWindow(recipe.batch_size)
    model.train()
    with stop_on_signals() as stop_asked:
        for batch in batches:
            epoch, epochs = order.epoch(progress.step), order.epochs(recipe.steps)
            rate = recipe.learning_rate * learning_rate_scale(
                progress.step,
                steps=recipe.steps,
                warmup=recipe.warmup,
                schedule=recipe.schedule,
                epoch=epoch,
                epochs=epochs,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            update = Update(
                fabric,
                model,
                optimizer,
                objective,
                fabric.to_device(batch),
                _generator(recipe, progress.step, fabric.global_rank),
                clip_norm=recipe.clip_norm,
                accumulate=recipe.accumulate,
                run_seed=recipe.seed,
                number=progress.step,
                epoch=epoch,
                epochs=epochs,
            )
            measured = conflict(update) if options.conflicts and (progress.step + 1) % recipe.log_every == 0 else {}
            terms = measured | _apply(update, gradients, progress) | {"learning_rate": rate}
            if average:
                average.update(progress.step)
            progress.step += 1
            if isinstance(objective, WeighsTasks) and order.epoch(progress.step) > order.epoch(progress.step - 1):
                objective.weighting.end_epoch()
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


class _Run(NamedTuple):
    """What a run trains with, in the state in which it begins or goes on.

    model: the network as Fabric wraps it. resumed: the checkpoint that the run goes on from.
    """

    network: nn.Module
    model: Any
    optimizer: Any
    average: MovingAverage | None
    objective: Objective
    gradients: GradientMethod
    progress: Progress
    resumed: Path | None


def _begin_or_resume(recipe: Recipe, options: RunOptions, fabric: Fabric) -> _Run:
    """Goes on from the latest checkpoint where that is asked for and there is one; else sets aside what is left there.

    Raises ValueError when the folder holds a run of another recipe.
    """
    torch.manual_seed(recipe.seed)
    goes_on = options.resume and has_checkpoint(options.out)
    network = build(without_weights(recipe.model) if goes_on else recipe.model)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a form the stubs lack
    optimizer = build_optimizer(network, recipe)
    model, optimizer = fabric.setup(network, optimizer)
    average = MovingAverage(network, recipe.ema_decay) if recipe.ema_decay is not None else None
    objective = build_objective(recipe)
    objective.to(fabric.device)
    gradients = build_gradients(recipe.gradients, objective)
    if options.conflicts:
        require_measurable(objective)
    progress = Progress()
    resumed = resume(options.out, recipe, network, optimizer, average, objective, gradients) if goes_on else None
    if resumed:
        progress.take_up(resumed.meta)
    elif recipe.start_from is not None:
        progress.started_from = begin_from(Path(recipe.start_from), network, average)
    fabric.barrier()  # others may still read what is set aside
    if resumed is None and fabric.is_global_zero:
        set_aside(options.out)
    fabric.barrier()
    folder = resumed.folder if resumed else None
    return _Run(network, model, optimizer, average, objective, gradients, progress, folder)


def _generator(recipe: Recipe, step: int, rank: int) -> torch.Generator:
    """Of one step's augmentation in one process."""
    stream = recipe.seed * 2_147_483_629 + step * 7_919 + rank * 104_729 + 17
    return torch.Generator().manual_seed(stream % 2**63)


def _apply(update: Update, gradients: GradientMethod, progress: Progress) -> dict[str, float]:
    """One batch's update by the recipe's method; one with a gradient that is not finite is counted."""
    scalars = gradients.update(update)
    values = {name: float(value) for name, value in update.terms.items() if not name.startswith(LABELLED)}
    values |= {"gradient_norm": update.norm} | scalars
    weighting = update.objective.weighting if isinstance(update.objective, WeighsTasks) else None
    if weighting is not None:
        values |= {f"weight/{task}": weight for task, weight in weighting.weights().items()}
    if not update.applied:
        progress.skipped += 1
        if isinstance(weighting, WeighsImages):
            weighting.discard()
    elif weighting is not None:
        weighting.observe(labelled_losses(_over_processes(update.fabric, update.terms)))
    return values


def _over_processes(fabric: Fabric, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Means of the loss terms over all processes: the same in each, so that any one of them can save what follows."""
    stacked = torch.stack([term.detach().double() for term in terms.values()])
    if fabric.world_size > 1:
        stacked = cast(Tensor, fabric.all_reduce(stacked, reduce_op="mean"))
    return dict(zip(terms, stacked.tolist(), strict=True))


def _agreed(fabric: Fabric, choice: bool) -> bool:
    """What the first process chose, in all of them."""
    return bool(fabric.broadcast(choice)) if fabric.world_size > 1 else choice
