"""Encoders of the dense network against each other: accuracy after the same number of images, latency, training cost.

    python -m benchmarks.encoders [--only resnet convnextv2 ...] [--steps 1000] [--count 4096] [--out FILE.md]

Every candidate is the dense baseline with another encoder, trained from scratch on the same generated rooms in the same
order, at 96 x 128 so that the comparison fits into an hour of one CPU core, and judged on generated rooms that it has
not seen. Latency is that of the exported graph at the training frames' size, 192 x 256, interleaved. Runs lie in
`artifacts/encoders` and are resumed; the rooms are cached in `artifacts/data`.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.table import Report, dated, markdown_table
from models.backbones import BackboneConfig
from models.multitask_baseline import MultiTaskBaselineConfig

SEGFORMER = '{"num_attention_heads": [1, 2, 5, 8], "sr_ratios": [8, 4, 2, 1]}'
CANDIDATES = {
    "resnet": MultiTaskBaselineConfig(),
    "resnet + context": MultiTaskBaselineConfig(context_blocks=2),
    "resnet, wide": MultiTaskBaselineConfig(
        backbone=BackboneConfig(embedding_size=48, hidden_sizes=(64, 128, 256, 512))
    ),
    "resnet, deep": MultiTaskBaselineConfig(backbone=BackboneConfig(depths=(2, 3, 6, 3))),
    "convnextv2": MultiTaskBaselineConfig(backbone=BackboneConfig(name="convnextv2", depths=(2, 2, 6, 2))),
    "segformer": MultiTaskBaselineConfig(
        backbone=BackboneConfig(name="segformer", hidden_sizes=(32, 64, 160, 256), settings=SEGFORMER)
    ),
    "hrnet": MultiTaskBaselineConfig(
        backbone=BackboneConfig(name="hrnet", embedding_size=64, hidden_sizes=(18, 36, 72, 144), depths=(2, 1, 3, 2))
    ),
}
COLUMNS = ("depth/scaled_abs_rel", "depth/scaled_delta1", "depth/delta1", "segmentation/miou", "normals/median")
SIZE = (192, 256)


def trained(name: str, steps: int, count: int, threads: int) -> dict[str, Any]:
    """Trains one candidate (or resumes it) and answers what the run says, with the seconds that it took."""
    from training.augmentation import STRONG
    from training.data.rooms import RoomConfig
    from training.loop import RunOptions, train
    from training.objectives.perceive import PerceiveOptions
    from training.recipes import get_recipe

    recipe = get_recipe("perceive_rooms")
    data = replace(recipe.data, name="rooms_encoders", config=RoomConfig(height=96, width=128), count=count)
    recipe = replace(
        recipe,
        name="encoders",
        model=CANDIDATES[name],
        options=PerceiveOptions(photometric=STRONG),  # without half-size batches: 48 x 64 is no multiple of 32
        data=data,
        steps=steps,
        batch_size=16,
        ema_decay=0.995,
        evaluate_every=steps,
        checkpoint_every=max(1, steps // 4),
    )
    folder = name.replace(" ", "_").replace(",", "").replace("+", "and")
    out = Path("artifacts/encoders") / f"{folder}_{steps}"
    result = train(recipe, RunOptions(out=out, threads=threads, progress=False))
    if not result["finished"]:
        raise SystemExit(f"{out}: stopped before its last step; give the command again to go on")
    return result


def latencies(names: Sequence[str], threads: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of every candidate's exported graph, measured in turns."""
    import onnxruntime

    from export.source import source_of
    from export.to_onnx import export_graph
    from models.build import build

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    sessions = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            torch.manual_seed(0)
            source = source_of(build(CANDIDATES[name]), {})
            path = Path(folder) / "graph.onnx"
            export_graph(source.deployed, source.contract, path, half=False)
            sessions[name] = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 2):
        for name, session in sessions.items():
            begun = time.perf_counter()
            session.run(None, {"image": image})
            if turn >= 2:
                times[name].append(1000 * (time.perf_counter() - begun))
    return {name: float(np.median(values)) for name, values in times.items()}


def main(argv: Sequence[str] | None = None) -> Report:
    """Trains, measures, prints and writes the report."""
    from models.build import build

    parser = argparse.ArgumentParser(prog="python -m benchmarks.encoders", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(CANDIDATES), default=list(CANDIDATES))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--count", type=int, default=4096, help="rooms in the training set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=30, help="timed passes of each graph")
    parser.add_argument("--out", type=Path, help="Markdown file; JSON goes beside it")
    options = parser.parse_args(argv)
    milliseconds = latencies(options.only, options.threads, options.rounds)
    first = milliseconds[options.only[0]]
    rows, numbers = [], dict[str, Any]()
    for name in options.only:
        result = trained(name, options.steps, options.count, options.threads)
        millions = sum(parameter.numel() for parameter in build(CANDIDATES[name]).parameters()) / 1e6
        numbers[name] = {
            "parameters": millions * 1e6,
            "relative latency": milliseconds[name] / first,
            "training seconds": result["seconds"],
            **result["metrics"],
        }
        values = [f"{result['metrics'][column]:.3f}" for column in COLUMNS]
        rows.append([name, f"{millions:.2f}", f"{milliseconds[name] / first:.2f}", *values])
    report = Report(title="Encoders of the dense network", module="benchmarks.encoders", argv=argv)
    report.notes.append(
        f"{options.steps} steps of 16 generated rooms at 96 x 128 each, one seed; latency of the exported graph at "
        f"{SIZE[0]} x {SIZE[1]} on {options.threads} thread(s), relative to {options.only[0]}, medians of "
        f"{options.rounds} interleaved passes."
    )
    report.section(
        "Candidates",
        markdown_table(
            ["encoder", "M parameters", "latency", "absRel, scaled", "δ1, scaled", "δ1", "mIoU", "normals median °"],
            rows,
        ),
    )
    report.numbers["encoders"] = numbers
    report.write(options.out or dated("encoders"))
    return report


if __name__ == "__main__":
    print(main().text())
