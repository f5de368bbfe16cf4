"""SIGMo's image: feathering before training, inside the union's closing alone, the same in ONNX and in the service."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.contracts import contract_of
from export.samples import samples
from export.to_onnx import export_graph
from export.verify import verify_graph
from models.deployed import deploy
from models.stitched_image import (
    GenerationPrediction,
    StitchedImage,
    StitchedImageConfig,
    compose,
    feathered_colours,
    generate,
)
from service.manifest import SizeSpec
from service.stitching import composition as service
from training.feather import feather

TINY = StitchedImageConfig(mode="generate", widths=(8, 12, 16))


def canvas(height: int = 48, width: int = 80) -> torch.Tensor:
    """Reference on the left, target on the right; the upper half overlaps, the lower half leaves a gap of 6 px."""
    colours = torch.rand(1, 8, height, width, generator=torch.Generator().manual_seed(4))
    reference, target = torch.zeros(1, 1, height, width), torch.zeros(1, 1, height, width)
    reference[..., 4:-4, 4:40] = 1
    target[..., 4:-4, 46:-4] = 1
    target[..., 4:24, 30:46] = 1
    return torch.cat((colours[:, 0:3] * reference, reference, colours[:, 4:7] * target, target), dim=1)


def test_untrained_the_image_is_the_feathering_and_the_outside_is_black() -> None:
    given = canvas()
    weight = feather(given[:, 3:4], given[:, 7:8])
    prediction = StitchedImage(TINY)(given, weight)
    assert isinstance(prediction, GenerationPrediction)
    assert prediction.image_B3HW.shape == (1, 3, 48, 80)
    image = generate(given, prediction.image_B3HW)
    union = (given[:, 3:4] + given[:, 7:8] > 0).expand_as(image)
    plain = compose(given, weight, torch.zeros(1, 3, 48, 80)).image_B3HW
    torch.testing.assert_close(image[union], plain[union].clamp(1e-3, 1 - 1e-3))
    torch.testing.assert_close(feathered_colours(given, weight), plain)
    # The gap that the closing fills is grey, not black: there is something to learn from.
    assert (image[..., 34, 41:45] == 0.5).all()
    assert (image[..., :4, :] == 0).all()
    assert (image[..., :, -4:] == 0).all()


def test_the_composition_beside_it_is_that_of_a_network_without_it() -> None:
    torch.manual_seed(1)
    both = StitchedImage(TINY)
    torch.nn.init.normal_(both.predict.weight, std=0.1)
    alone = StitchedImage(StitchedImageConfig(widths=TINY.widths))
    weights = both.state_dict()
    weights["predict.weight"], weights["predict.bias"] = both.predict.weight[:4], both.predict.bias[:4]
    alone.load_state_dict(weights)
    given = canvas()
    weight = feather(given[:, 3:4], given[:, 7:8])
    for ours, theirs in zip(both(given, weight), alone(given, weight), strict=False):
        torch.testing.assert_close(ours, theirs)


def test_the_graph_answers_what_pytorch_does(tmp_path: Path) -> None:
    torch.manual_seed(2)
    network = StitchedImage(StitchedImageConfig(mode="generate", widths=(4, 8, 8)))
    torch.nn.init.normal_(network.predict.weight, std=0.2)
    deployed = deploy(network)
    contract = contract_of(deployed)
    assert [spec.name for spec in contract.outputs] == ["alpha", "delta", "image"]
    path = tmp_path / "sigmo.onnx"
    export_graph(deployed, contract, path, half=False)
    size = SizeSpec(longest_side=96, multiple=contract.multiple, smallest_side=contract.smallest_side)
    report = verify_graph(path, contract, deployed, None, samples(contract, size))
    assert report["passed"]
    assert report["outputs"]["image"]["max_abs_error"] < 1e-5


class Painter:
    """A graph whose image is the feathering plus a tenth of red, as the network would draw it."""

    provider = "none"

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given, weight = torch.from_numpy(inputs["canvas"]), torch.from_numpy(inputs["feather"])
        image = feathered_colours(given, weight)
        image[:, 0] += 0.1
        return {"alpha": inputs["feather"], "delta": np.ones_like(inputs["canvas"][:, :3]), "image": image.numpy()}


@pytest.mark.parametrize("longest_side", [160, 80])
def test_the_service_keeps_the_photographs_detail_and_adds_what_was_generated(longest_side: int) -> None:
    given = canvas(96, 160)
    photographs = (given[0, :7] * 200).permute(1, 2, 0).numpy().astype(np.uint8)
    mask_r, mask_t = given[0, 3].numpy() > 0.5, given[0, 7].numpy() > 0.5
    pair = (np.ascontiguousarray(photographs[..., :3]), mask_r, np.ascontiguousarray(photographs[..., 4:7]), mask_t)
    options = service.CompositionOptions(longest_side=longest_side)
    made = service.blend(Painter(), *pair, options, generated=True)
    nothing, nowhere = np.zeros((96, 160, 3), np.float32), np.zeros_like(mask_r)
    plain, _, _ = service.compose(*pair, service.feather(mask_r, mask_t), nothing, nowhere)
    inner = (slice(12, 40), slice(12, 28))  # the reference alone, away from every rim
    difference = made.panorama_HW3[inner].astype(int) - plain[inner]
    assert np.abs(difference - [25.5, 0, 0]).max() <= 1
    assert not made.panorama_HW3[:3].any()
    assert made.seam_HW[inner].all()
