"""The same batch on a Ray cluster: actors with the models loaded once, fed by Ray Data.

Actors write outputs and rows to the store themselves; what travels through Ray is the list of items and their rows.
Progress therefore lies in the same ledger as the local engine's, and either continues the other's batch. The store
must be reachable from every node. Ray Data holds items back while all actors are busy, starts more actors while items
wait, up to the given number, and restarts actors that die.

One CPU more than the actors need stays free on a cluster that this program starts: Ray waits for ever, without a
word, when actors hold every slot and a task needs one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

from service.batch.failures import BatchError, Failure
from service.batch.items import Item
from service.batch.ledger import FAILED, Ledger, Row
from service.batch.pipeline import failed_row, run_pipeline
from service.batch.steps import Task
from service.batch.storage import Store
from service.settings import cores

ITEMS_PER_CALL = 8
# An actor that an item kills is restarted, and the block tried again, this often; then the rest of the run goes on.
TRIES_OF_A_BLOCK = 2


def run_on_ray(
    items: Iterator[Item],
    task: Task,
    store_url: str,
    stop: threading.Event,
    actors: tuple[int, int] | None = None,
    gpus: float = 0.0,
) -> Iterator[tuple[Item, Row]]:
    """Every item with its row, as they come. Raises BatchError if Ray is missing, or the cluster too small.

    actors: (fewest, most), by default one per CPU of the cluster but one. gpus: share of a GPU that an actor holds.
    RAY_ADDRESS names the cluster; without it one is started on this machine.
    """
    ray = _ray()
    started_here = not ray.is_initialized()
    if started_here:
        _connect(ray, actors)
    try:
        cpus = int(ray.cluster_resources().get("CPU", 1))
        fewest, most = actors or (1, max(1, cpus - 1))
        if not 1 <= fewest < cpus:
            raise BatchError(f"--workers: expected 1 to {cpus - 1} actors, the cluster's CPUs but one, found {fewest}")
        rows = _run(ray, list(items), task, store_url, (fewest, min(most, cpus - 1)), gpus)
        for answer in rows:
            yield answer
            if stop.is_set():
                return  # what the actors have in hand is lost with them, and done by the next run
    finally:
        if started_here:
            ray.shutdown()


class Actor:
    """A worker with its models loaded: batches of items in, rows out, as JSON."""

    def __init__(self, task: Task, store_url: str) -> None:
        self._task = task
        self._steps = task.open()
        self._store = Store(store_url, task.patience)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        items = [_unpacked(text) for text in batch["item"]]
        rows: list[str] = []
        run_pipeline(items, self._steps, self._store, self._task.inputs, lambda item, row: rows.append(json.dumps(row)))
        return {"item": list(batch["item"]), "row": rows}


def _run(
    ray: Any, items: list[Item], task: Task, store_url: str, actors: tuple[int, int], gpus: float
) -> Iterator[tuple[Item, Row]]:
    waiting = {_packed(item): item for item in items}
    data = ray.data.from_items(
        [{"item": text} for text in waiting], override_num_blocks=max(1, -(-len(items) // ITEMS_PER_CALL))
    ).map_batches(
        Actor,
        fn_constructor_args=(task, store_url),
        batch_size=ITEMS_PER_CALL,
        compute=ray.data.ActorPoolStrategy(min_size=actors[0], max_size=actors[1]),
        num_cpus=1,
        num_gpus=gpus or None,
        max_restarts=-1,
        max_task_retries=TRIES_OF_A_BLOCK,
    )
    for batch in data.iter_batches(batch_size=None, prefetch_batches=0):
        for text, row in zip(batch["item"], batch["row"], strict=True):
            yield waiting.pop(str(text)), json.loads(row)
    yield from _lost(list(waiting.values()), task, store_url)


def _lost(items: list[Item], task: Task, store_url: str) -> Iterator[tuple[Item, Row]]:
    """What Ray gave up: done all the same where a row says so, else failed."""
    ledger = Ledger(Store(store_url, task.patience))
    done, failed = ledger.done(), ledger.failed()
    failure = Failure(code="worker_died", message="The actors that worked on its block of items died.")
    for item in items:
        if item.key in done:
            yield item, {"id": item.id, "status": "ok"}
            continue
        kept = ledger.rows(FAILED, [item])[0] if item.key in failed else None
        row = kept or failed_row(item, task.inputs, failure)
        ledger.record(item, row)
        yield item, row


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise BatchError("--engine ray needs Ray: pip install -r requirements/batch.txt") from error
    return ray


def _connect(ray: Any, actors: tuple[int, int] | None) -> None:
    settings = {name: value for name, value in os.environ.items() if name.startswith("POLYVIEW_")}
    options: dict[str, Any] = {"runtime_env": {"env_vars": settings}, "log_to_driver": False}
    if not os.environ.get("RAY_ADDRESS"):
        options |= {"num_cpus": (actors[1] if actors else cores()) + 1, "include_dashboard": False}
    try:
        ray.init(**options)
    except Exception as error:  # Ray's own errors share no base class with those of its transport
        raise BatchError(f"Ray cannot be reached or started: {str(error).splitlines()[0]}") from error
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.enable_progress_bars = False


def _packed(item: Item) -> str:
    return json.dumps([item.id, item.inputs, item.focal_px])


def _unpacked(text: str) -> Item:
    item_id, inputs, focal_px = json.loads(str(text))
    return Item(item_id, tuple(inputs), focal_px)
