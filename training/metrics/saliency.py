"""Both protocols of saliency evaluation in use for PASCAL-Context; their numbers are not comparable.

Shapes: B batch, H height, W width, T thresholds.
"""

import torch
from torch import Tensor

from training.metrics.dense import IGNORE_LABEL

IMAGE_THRESHOLDS = torch.linspace(0.2, 0.9, 15, dtype=torch.float64)
SET_THRESHOLDS = torch.arange(1, 20, dtype=torch.float64) * 0.05
SET_BETA_SQUARED = 0.3


class SaliencyMeter:
    """Protocol A (ASTMT, MTI-Net): `saliency/miou`, `saliency/max_f`; protocol B (ATRC, InvPT): `saliency/max_f_set`.

    A: at each of 15 thresholds 0.2..0.9, Jaccard, precision and recall of every image are averaged over the images;
    mIoU is the best mean Jaccard, max_f the best F of mean precision and mean recall with beta^2 = 1.
    B: at each of 19 thresholds 0.05..0.95, counts are summed over the set; max_f_set is the best F with beta^2 = 0.3.
    A pixel is salient where its probability exceeds the threshold. An image in which nothing is salient, neither in
    prediction nor in label, counts 1 in A; precision without a prediction and recall without a label count 0 otherwise.
    """

    def __init__(self) -> None:
        self._image_sums = torch.zeros(3, len(IMAGE_THRESHOLDS), dtype=torch.float64)
        self._images = 0
        self._counts = torch.zeros(3, len(SET_THRESHOLDS), dtype=torch.float64)

    def add(self, probability_BHW: Tensor, label_BHW: Tensor) -> None:
        """probability_BHW: float in [0, 1]; label_BHW: 0, 1, or 255 to ignore. Images without a valid pixel are left
        out."""
        for probability, label in zip(probability_BHW, label_BHW, strict=True):
            valid = label != IGNORE_LABEL
            if not valid.any():
                continue
            p, g = probability[valid].double().cpu(), (label[valid] == 1).cpu()
            true, predicted, salient = _counts(p, g, IMAGE_THRESHOLDS)
            nothing = (predicted + salient) == 0
            jaccard, precision, recall = (
                torch.where(nothing, 1.0, true / whole.clamp(min=1))
                for whole in (predicted + salient - true, predicted, salient)
            )
            self._image_sums += torch.stack((jaccard, precision, recall))
            self._images += 1
            self._counts += torch.stack(_counts(p, g, SET_THRESHOLDS))

    def result(self) -> dict[str, float]:
        """The best values over the thresholds; empty when there was no image."""
        if not self._images:
            return {}
        jaccard, precision, recall = self._image_sums / self._images
        true, predicted, salient = self._counts
        set_f = _f_score(true / predicted.clamp(min=1), true / salient.clamp(min=1), SET_BETA_SQUARED)
        return {
            "saliency/miou": float(jaccard.max()),
            "saliency/max_f": float(_f_score(precision, recall, 1.0).max()),
            "saliency/max_f_set": float(set_f.max()),
        }


def _counts(p_N: Tensor, salient_N: Tensor, thresholds_T: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels that are salient in both, in the prediction, in the label, at each threshold [T]."""
    # searchsorted counts the thresholds below p: those at which the pixel is predicted salient.
    passed_N = torch.searchsorted(thresholds_T, p_N)
    histograms = [torch.bincount(passed, minlength=len(thresholds_T) + 1) for passed in (passed_N[salient_N], passed_N)]
    true_T, predicted_T = (histogram.flip(0).cumsum(0).flip(0)[1:].double() for histogram in histograms)
    return true_T, predicted_T, salient_N.sum().double().expand(len(thresholds_T))


def _f_score(precision: Tensor, recall: Tensor, beta_squared: float) -> Tensor:
    denominator = beta_squared * precision + recall
    return (1 + beta_squared) * precision * recall / denominator.clamp(min=1e-12)
