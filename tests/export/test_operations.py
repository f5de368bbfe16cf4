"""Multiply-accumulates against numbers worked out by hand, and against a formula for the whole network."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.operations import multiply_accumulates, with_names


def test_every_counted_operation_by_hand() -> None:
    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.ones(shape, np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "plain"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),  # 2 x 6 x 4 x 4
        helper.make_node("Conv", ["a", "grouped"], ["b"], group=3),  # 2 x 6 x 4 x 4, 2 inputs a group
        helper.make_node("ConvTranspose", ["b", "up"], ["c"], strides=[2, 2]),  # from 2 x 6 x 4 x 4
        helper.make_node("Flatten", ["c"], ["d"]),  # 2 x 320
        helper.make_node("Gemm", ["d", "dense"], ["e"], transB=1),  # 2 x 7
        helper.make_node("MatMul", ["e", "square"], ["f"]),  # 2 x 7
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    weights = [
        weight("plain", 6, 3, 3, 3), weight("grouped", 6, 2, 1, 1), weight("up", 6, 5, 2, 2), weight("dense", 7, 320),
        weight("square", 7, 7),
    ]  # fmt: skip
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, "H", "W"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 7])
    model = with_names(
        helper.make_model(
            helper.make_graph(nodes, "g", [value], [out], weights),
            opset_imports=[helper.make_opsetid("", 18)],
            ir_version=8,
        )
    )
    found = multiply_accumulates(model, {"x": np.zeros((2, 3, 8, 8), np.float32)})
    assert list(found.values()) == [2 * 6 * 16 * 27, 2 * 6 * 16 * 2, 2 * 6 * 16 * 20, 2 * 7 * 320, 2 * 7 * 7]


def test_a_network_costs_the_same_per_pixel_and_image(perceive_bundle: Path) -> None:
    model = with_names(onnx.load(perceive_bundle / "perceive.onnx"))
    images = {shape: np.zeros((*shape, 3), np.uint8) for shape in ((1, 64, 64), (1, 64, 128), (3, 64, 64))}
    macs = {shape: sum(multiply_accumulates(model, {"image": image}).values()) for shape, image in images.items()}
    assert macs[1, 64, 128] == 2 * macs[1, 64, 64] > 0
    assert macs[3, 64, 64] == 3 * macs[1, 64, 64]
