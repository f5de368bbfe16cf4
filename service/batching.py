"""Several photographs through a network at once: those of one bundle and one size are stacked, the answers split.

Legend: N images of a batch; H, W size at which the graph sees an image; 3 = RGB.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Bundle
from service.errors import BundleFailed
from service.manifest import GraphSpec
from service.runtime import Graph, RuntimeOptions, open_graph
from service.tensorrt_provider import largest_and_smallest

logger = logging.getLogger("polyview")

# (sha256 of the bundle, uint8 [H,W,3])
Call = tuple[str, NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A graph with one image as its input, and what its manifest says of it."""

    graph: Graph
    spec: GraphSpec

    def most(self, batch: int) -> int:
        """Images that it takes at once; graphs may be exported for one only."""
        images = self.spec.inputs[0].shape[0]
        return min(batch, images) if isinstance(images, int) else batch

    def run(self, images: Sequence[NDArray[np.uint8]]) -> dict[str, NDArray[Any]]:
        """The outputs of images of one size, [N,...] each. Raises BundleFailed."""
        return self.graph.run({self.spec.inputs[0].name: np.stack(images)})


class Batches:
    """Runs calls for several networks, `batch` images at a time. Networks by the sha256 of their bundles."""

    def __init__(self, networks: Mapping[str, Network], batch: int) -> None:
        self._networks = networks
        self._batch = batch

    @classmethod
    def of_bundles(cls, bundles: Sequence[Bundle], runtime: RuntimeOptions, batch: int) -> Batches:
        """Open the networks of perceive bundles, and run each with full batches at both ends of its sizes.

        So memory suffices, and no request waits for what is allocated or built at the first run.
        """
        networks = {}
        for bundle in bundles:
            spec = bundle.manifest.graphs["perceive"]
            graph = open_graph(bundle.graph_path("perceive", runtime.precision), runtime, spec)
            network = Network(graph=graph, spec=spec)
            for inputs in largest_and_smallest(spec, network.most(batch)):
                graph.run(inputs)
            networks[bundle.sha256] = network
        return cls(networks, batch)

    def providers(self) -> dict[str, str]:
        """The provider really in use, by bundle."""
        return {bundle: network.graph.provider for bundle, network in self._networks.items()}

    def run(self, calls: Sequence[Call]) -> list[dict[str, Any]]:
        """An answer per call, in their order: {"maps": the outputs by name, without N, "batch": images run at once}.

        {"error": text} where the network failed on this image alone, or another bundle was meant than is loaded here.
        """
        answers: list[dict[str, Any]] = [{} for _ in calls]
        groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        for place, (bundle, image_HW3) in enumerate(calls):
            if bundle in self._networks:
                groups.setdefault((bundle, image_HW3.shape), []).append(place)
            else:
                answers[place] = {"error": "The bundle has changed since the service was started."}
        for (bundle, _), places in groups.items():
            network = self._networks[bundle]
            most = network.most(self._batch)
            for start in range(0, len(places), most):
                part = places[start : start + most]
                for place, answer in zip(part, _together(network, [calls[k][1] for k in part]), strict=True):
                    answers[place] = answer
        return answers


def _together(network: Network, images: list[NDArray[np.uint8]]) -> list[dict[str, Any]]:
    """The answers of one batch. One that fails (for want of memory, say) is tried again image by image."""
    try:
        outputs = network.run(images)
    except BundleFailed as error:
        if len(images) == 1:
            return [{"error": error.message}]
        logger.warning("a batch of %d failed and is run image by image: %s", len(images), error)
        return [answer for image in images for answer in _together(network, [image])]
    maps = [{name: values[k] for name, values in outputs.items()} for k in range(len(images))]
    return [{"maps": own, "batch": len(images)} for own in maps]
