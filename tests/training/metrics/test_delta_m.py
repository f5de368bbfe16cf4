"""The multi-task gain against rounded values of published tables."""

import pytest

from training.metrics.delta_m import delta_m


@pytest.mark.parametrize(
    ("values", "single", "expected"),
    [
        ({"segmentation": 35.12, "depth": 0.620}, {"segmentation": 33.18, "depth": 0.667}, 6.447),
        ({"segmentation": 50.56, "depth": 0.483}, {"segmentation": 47.96, "depth": 0.497}, 4.119),
        (
            {"segmentation": 74.15, "parts": 64.89, "saliency": 67.71},
            {"segmentation": 71.17, "parts": 63.90, "saliency": 66.71},
            2.412,
        ),
    ],
)
def test_published_tables(values: dict[str, float], single: dict[str, float], expected: float) -> None:
    assert delta_m(values, single) == pytest.approx(expected, abs=5e-4)
    assert delta_m(single, single) == 0


def test_a_missing_reference_is_named() -> None:
    with pytest.raises(ValueError, match="'depth'"):
        delta_m({"depth": 1.0}, {"segmentation": 1.0})
