"""Calls of mixed bundles and sizes: stacked by kind, split again in order; an image that fails fails alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bentoml._internal.marshal.dispatcher import CorkDispatcher

from service.batching import Batches, Call, Network
from service.bundle import load_bundle
from service.errors import BundleFailed
from service.learned_delay import leave_out_learned_delay
from service.manifest import GraphSpec
from service.runtime import RuntimeOptions, open_graph

POISON = 255


class Means:
    """Answers the mean of each image; fails on any batch that holds an all-white one."""

    provider = "Made up"

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        (images,) = inputs.values()
        self.seen.append(images.shape)
        if (images == POISON).all(axis=(1, 2, 3)).any():
            raise BundleFailed("out of memory", "")
        return {"mean": images.mean((1, 2, 3))}


@pytest.fixture
def spec(perceive_bundle: Path) -> GraphSpec:
    return load_bundle(perceive_bundle).manifest.graphs["perceive"]


def image(value: int, height: int = 4, width: int = 6) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_calls_are_sorted_by_bundle_and_size_and_answered_in_their_order(spec: GraphSpec) -> None:
    graphs = {"a": Means(), "b": Means()}
    batches = Batches({name: Network(graph=graph, spec=spec) for name, graph in graphs.items()}, batch=3)
    calls: list[Call] = [("a", image(k)) for k in range(4)]
    calls[2:2] = [("b", image(10)), ("a", image(11, 6, 4)), ("b", image(12)), ("gone", image(0))]
    answers = batches.run(calls)
    assert [float(answer["maps"]["mean"]) if "maps" in answer else None for answer in answers] == [
        0, 1, 10, 11, 12, None, 2, 3,
    ]  # fmt: skip
    assert "bundle has changed" in answers[5]["error"]
    assert graphs["a"].seen == [(3, 4, 6, 3), (1, 4, 6, 3), (1, 6, 4, 3)]
    assert graphs["b"].seen == [(2, 4, 6, 3)]
    assert [answer.get("batch") for answer in answers] == [3, 3, 2, 1, 2, None, 3, 1]


def test_an_image_that_fails_fails_alone(spec: GraphSpec) -> None:
    batches = Batches({"a": Network(graph=Means(), spec=spec)}, batch=8)
    answers = batches.run([("a", image(value)) for value in (1, POISON, 3)])
    assert [answer.get("error") for answer in answers] == [None, "out of memory", None]
    assert [answer["batch"] for answer in (answers[0], answers[2])] == [1, 1]


def test_a_graph_for_one_image_gets_one(spec: GraphSpec) -> None:
    single = replace(spec, inputs=(replace(spec.inputs[0], shape=(1, "H", "W", 3)),))
    graph = Means()
    Batches({"a": Network(graph=graph, spec=single)}, batch=8).run([("a", image(k)) for k in range(3)])
    assert [shape[0] for shape in graph.seen] == [1, 1, 1]


def test_a_batch_gives_each_image_the_bytes_that_it_gets_alone(perceive_bundle: Path) -> None:
    bundle = load_bundle(perceive_bundle)
    batches = Batches.of_bundles([bundle], RuntimeOptions(device="cpu"), 4)
    assert batches.providers() == {bundle.sha256: "CPUExecutionProvider"}
    size = bundle.manifest.graphs["perceive"].size
    rng = np.random.default_rng(0)
    shape = (size.multiple, size.longest_side, 3)
    images = [rng.integers(0, 256, shape, np.uint8) for _ in range(4)]
    together = batches.run([(bundle.sha256, image) for image in images])
    graph = open_graph(bundle.graph_path("perceive"), RuntimeOptions(device="cpu"), bundle.manifest.graphs["perceive"])
    for image, answer in zip(images, together, strict=True):
        alone: dict[str, Any] = graph.run({"image": image[None]})
        assert answer["batch"] == 4
        for name, values in alone.items():
            assert np.array_equal(values[0], answer["maps"][name])


def test_a_lone_request_is_not_held_back_after_a_burst() -> None:
    leave_out_learned_delay()
    dispatcher: CorkDispatcher[Any, Any] = CorkDispatcher(60_000, 8, fallback=lambda: None)
    for _ in range(20):
        dispatcher.optimizer.log_outbound(n=8, wait=5.0, duration=0.8)
    dispatcher.optimizer.trigger_refresh()
    assert dispatcher.optimizer.o_a > 0  # it learned what a batch takes,
    assert dispatcher.optimizer.wait == 0  # and nothing else
