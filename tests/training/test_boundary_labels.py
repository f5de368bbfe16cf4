"""Edge labels of generated frames."""

import torch

from training.boundary_labels import boundary_labels


def test_a_slanted_plane_has_no_edge_however_steep() -> None:
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing="ij")
    depth = 1.0 / (0.02 + 0.04 * x + 0.01 * y)
    assert not boundary_labels(torch.zeros(1, 20, 30), depth[None]).any()


def test_a_step_of_depth_is_one_line_even_beside_the_border_and_within_a_class() -> None:
    for column in (0, 1, 14, 28):
        depth = torch.full((1, 8, 30), 3.0)
        depth[:, :, : column + 1] = 2.0
        edges = boundary_labels(torch.zeros(1, 8, 30, dtype=torch.uint8), depth)
        assert edges[:, :, column].all()
        assert edges.sum() == 8


def test_unknown_pixels_make_no_edges_and_are_ignored_where_nothing_is_known() -> None:
    depth, label = torch.full((1, 4, 9), 2.0), torch.zeros(1, 4, 9, dtype=torch.uint8)
    depth[:, :, 3:6] = 0
    label[:, :, 4:] = 255
    edges = boundary_labels(label, depth)
    assert edges[0, 0].tolist() == [0, 0, 0, 0, 255, 255, 0, 0, 0]
