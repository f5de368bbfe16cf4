"""Which provider a graph is asked to run on, and what happens where it is not to be had."""

import dataclasses
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import service.tensorrt_provider
from service.bundle import load_bundle
from service.errors import BundleFailed
from service.manifest import SizeSpec
from service.preprocess import model_size, size_range
from service.runtime import CUDA_OPTIONS, PROVIDERS, RuntimeOptions, _providers, open_graph
from service.tensorrt_provider import check_library, largest_and_smallest

EVERYTHING = list(PROVIDERS.values())


def installed(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(service.tensorrt_provider, "version", version)


def test_providers_are_asked_for_best_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, tensorrt="10.13.3")
    cpu, cuda = PROVIDERS["cpu"], (PROVIDERS["cuda"], CUDA_OPTIONS)
    assert _providers(RuntimeOptions(), EVERYTHING) == [cuda, cpu]
    assert _providers(RuntimeOptions(), [cpu]) == [cpu]
    assert _providers(RuntimeOptions(device="cpu"), EVERYTHING) == [cpu]
    assert _providers(RuntimeOptions(device="cuda"), EVERYTHING) == [cuda]
    cache = tmp_path / "deep" / "cache"
    (name, options), *others = _providers(RuntimeOptions(device="tensorrt", engine_cache=cache), EVERYTHING)
    assert (name, others) == (PROVIDERS["tensorrt"], [cuda, cpu])
    assert options["trt_engine_cache_path"] == str(cache)
    assert cache.is_dir()


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is to be had here")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_device_that_is_not_to_be_had_is_refused(device: str, perceive_bundle: Path, tmp_path: Path) -> None:
    bundle = load_bundle(perceive_bundle)
    options = RuntimeOptions(device=device, engine_cache=tmp_path)
    with pytest.raises(BundleFailed, match=f"asked for {device}, but .* on CPUExecutionProvider") as caught:
        open_graph(bundle.graph_path("perceive"), options, bundle.manifest.graphs["perceive"])
    assert "requirements/serve-gpu.txt" in caught.value.hint


def test_a_graph_that_cannot_run_is_found_when_it_is_opened(perceive_bundle: Path) -> None:
    bundle = load_bundle(perceive_bundle)
    spec = bundle.manifest.graphs["perceive"]
    wrong = dataclasses.replace(spec, inputs=(dataclasses.replace(spec.inputs[0], dtype="float32"),))
    path = bundle.graph_path("perceive")
    open_graph(path, RuntimeOptions(device="cpu"), wrong)
    open_graph(path, RuntimeOptions(device="cpu", warm_up=True), spec)
    with pytest.raises(BundleFailed, match="failed"):
        open_graph(path, RuntimeOptions(device="cpu", warm_up=True), wrong)


def test_tensorrt_11_beside_the_provider_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    check_library()
    installed(monkeypatch, **{"tensorrt-cu13": "10.13.3"})
    check_library()
    installed(monkeypatch, **{"tensorrt-cu13": "11.4.0.106"})
    with pytest.raises(BundleFailed, match=r"needs TensorRT 10, found tensorrt-cu13 11\.4\.0\.106"):
        check_library()


def test_senseless_combinations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="engine_cache: expected a folder"):
        RuntimeOptions(device="tensorrt")
    with pytest.raises(ValueError, match="precision: expected fp32 for the device tensorrt"):
        RuntimeOptions(device="tensorrt", engine_cache=tmp_path, precision="int8")


SIZES = [
    SizeSpec(longest_side=224, multiple=32, smallest_side=32),
    SizeSpec(longest_side=384, multiple=32, smallest_side=64),
    SizeSpec(longest_side=250, multiple=32, smallest_side=40),
    SizeSpec(longest_side=384, multiple=32, fixed=(384, 288)),
]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_the_service_lies_between_smallest_and_largest(size: SizeSpec) -> None:
    (least_w, least_h), (most_w, most_h) = size_range(size)
    rng = np.random.default_rng(3)
    found = [model_size(int(w), int(h), size) for w, h in np.exp(rng.uniform(0, 9, (500, 2))).astype(int)]
    found += [model_size(1, 9999, size), model_size(9999, 1, size), model_size(7, 7, size)]
    assert min(w for w, _ in found) == least_w
    assert min(h for _, h in found) == least_h
    assert max(w for w, _ in found) == most_w
    assert max(h for _, h in found) == most_h


def test_both_ends_are_inputs_that_the_graph_takes(stitch_bundle: Path) -> None:
    bundle = load_bundle(stitch_bundle)
    spec = bundle.manifest.graphs["pwm"]
    graph = open_graph(bundle.graph_path("pwm"), RuntimeOptions(device="cpu"), spec)
    large, small = (graph.run(inputs)["flow"].shape for inputs in largest_and_smallest(spec))
    longest = model_size(1, 1, spec.size)[0]
    assert large == (1, 2, longest, longest)
    assert small == (1, 2, spec.size.smallest_side, spec.size.smallest_side)
    one = dataclasses.replace(spec, size=dataclasses.replace(spec.size, fixed=(128, 96)))
    assert [inputs["target"].shape for inputs in largest_and_smallest(one)] == [(1, 96, 128, 3)]
