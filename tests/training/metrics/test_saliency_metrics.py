"""Both saliency protocols against values worked out by hand."""

import pytest
import torch

from training.metrics.saliency import SaliencyMeter


def test_both_protocols_by_hand() -> None:
    meter = SaliencyMeter()
    # Image 1: at thresholds below 0.6 three pixels are predicted, two of them right; above it only the right two.
    meter.add(torch.tensor([[[0.95, 0.92, 0.6, 0.1]]]), torch.tensor([[[1, 1, 0, 0]]]))
    # Image 2: below 0.3 both labelled pixels are found, above it one of two.
    meter.add(torch.tensor([[[0.95, 0.3, 0.0, 0.9]]]), torch.tensor([[[1, 1, 0, 255]]]))
    result = meter.result()
    # At thresholds from 0.6 to 0.9: Jaccard 1 and 1/2; below 0.3: 2/3 and 1. Mean Jaccard 3/4 against 5/6.
    assert result["saliency/miou"] == pytest.approx((2 / 3 + 1) / 2)
    # F of mean precision and mean recall: (5/6, 1) below 0.3, (1, 3/4) from 0.6 on.
    assert result["saliency/max_f"] == pytest.approx(2 * (5 / 6) / (5 / 6 + 1))
    # Counts of the set: below 0.3 precision 4/5 recall 1; from 0.6 on precision 1 recall 3/4.
    by_hand = max(1.3 * p * r / (0.3 * p + r) for p, r in ((4 / 5, 1.0), (1.0, 3 / 4)))
    assert result["saliency/max_f_set"] == pytest.approx(by_hand)


def test_a_set_threshold_below_those_of_images_counts_in_the_second_protocol_alone() -> None:
    meter = SaliencyMeter()
    meter.add(torch.tensor([[[0.12, 0.03]]]), torch.tensor([[[1, 0]]]))
    assert meter.result() == pytest.approx({"saliency/miou": 0.0, "saliency/max_f": 0.0, "saliency/max_f_set": 1.0})


def test_an_image_with_nothing_salient_counts_fully_and_one_without_labels_not_at_all() -> None:
    meter = SaliencyMeter()
    meter.add(torch.zeros(1, 2, 2), torch.full((1, 2, 2), 255))
    assert meter.result() == {}
    meter.add(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
    assert meter.result()["saliency/miou"] == 1.0
