"""The warp of one target onto one reference: homography, network residual, extension, evidence.

Convention: flow is target to reference, f(p) = H(p + r(p)) - p; residuals in full-size target pixels on the network's
grid. Legend: H, W full size; h, w network size; 2 = (dx, dy); 3 = RGB; 33 = matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from service.preprocess import model_size
from service.runtime import Graph
from service.stitching.agreement import Agreement, local_agreement, share_that_helps
from service.stitching.alignment import Alignment, AlignmentOptions, Features, align, is_sane
from service.stitching.extension import ExtensionOptions, continuing, extend_residual, rebased
from service.stitching.geometry import (
    Floats,
    Matrix,
    Size,
    apply_homography,
    inside,
    reduced_grid,
    resize_matrix,
    size_of,
    vector,
)
from service.stitching.pair_warp import PairWarp, resampled
from service.stitching.parallax import ParallaxOptions, extend_by_depth
from service.stitching.pixel_flow import FlowOptions, RawFlow, estimate_flow
from service.stitching.refusal import (
    Evidence,
    RefusalOptions,
    degenerate_flow,
    is_degenerate,
    lacking,
    low_overlap,
)

Image = NDArray[np.uint8]
Depth = Callable[[Image], Floats | None]
"""Monocular depth of a photograph [H,W,3]: float32 [h,w] of any size, positive, in any unit; None where it failed."""


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Everything that decides a pair's warp.

    helpful_rise: of the correlation, from which on a small residual is kept (service.stitching.agreement). fallback:
    answer with the homography where the network does worse, by more than `fallback_margin` of mean correlation.
    """

    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    flow: FlowOptions = field(default_factory=FlowOptions)
    extension: ExtensionOptions = field(default_factory=ExtensionOptions)
    parallax: ParallaxOptions = field(default_factory=ParallaxOptions)
    refusal: RefusalOptions = field(default_factory=RefusalOptions)
    helpful_rise: float = 0.003
    fallback: bool = True
    fallback_margin: float = 0.05


def estimate_pair(
    graph: Graph,
    target_HW3: Image,
    reference_HW3: Image,
    features_t: Features,
    features_r: Features,
    options: PairOptions,
    which: str = "The two photographs",
    depth: Depth | None = None,
) -> PairWarp:
    """The warp of a target onto a reference. Raises LowOverlap or DegenerateFlow, named after `which`.

    depth: where it is given, it places what the reference does not show (service.stitching.parallax).
    """
    if target_HW3.shape == reference_HW3.shape and np.array_equal(target_HW3, reference_HW3):
        return _identical(features_t.size, options)
    alignment = align(features_t, features_r, options.alignment)
    homography = alignment.homography_33
    if homography is None:
        homography = _homography_from_flow(graph, target_HW3, reference_HW3, alignment, options, which)
    raw = estimate_flow(graph, target_HW3, reference_HW3, homography, options.flow)
    plain = _agreement(raw, np.zeros_like(raw.residual_hw2))
    residual, trust = _trusted_residual(raw, plain, options)
    size_t, size_r = features_t.size, features_r.size
    base = _base(alignment, homography, residual, trust, size_t, size_r, options)
    residual = extend_residual(rebased(residual, homography, base, size_t), trust, options.extension)
    deep = None
    if depth is not None and options.parallax.enabled and alignment.homography_33 is not None:
        deep = _by_depth(base, residual, trust, depth(target_HW3), alignment.believed_N4, size_t, size_r, options)
    residual = rebased(residual if deep is None else deep, base, homography, size_t)
    scores = _agreement(raw, residual)
    aligned = alignment.homography_33 is not None
    evidence = _evidence(raw, raw.consistent_hw, scores, aligned)
    grid = reduced_grid(size_t, size_of(residual))
    folded = is_degenerate(apply_homography(homography, grid + residual), grid, options.refusal)
    reason = lacking(evidence, options.refusal)
    method = ("pixel_warp" if aligned else "pixel_warp_unaligned") + ("+refined" if options.flow.refine else "")
    visible = raw.consistent_hw
    worse = scores.mean < plain.mean - options.fallback_margin
    if aligned and options.fallback and (folded or reason or worse):
        visible = _homography_overlap(homography, size_t, size_r, grid)
        evidence = _evidence(raw, visible, plain, aligned, landing=visible)
        fallback_reason = lacking(evidence, options.refusal)
        if fallback_reason is None or not folded:
            reason, folded = fallback_reason, False
        method, residual, trust = "homography", np.zeros_like(residual), visible.astype(np.float32)
    if reason:
        raise low_overlap(which, reason)
    if folded:
        raise degenerate_flow(which)
    statistics = {
        "matches": float(alignment.matches),
        "inliers": float(alignment.inliers),
        "inlier_share": alignment.inlier_share,
        "returning_share": evidence.returning,
        "agreement": evidence.agreement,
        "homography_agreement": plain.mean,
        "textured_share": evidence.textured,
        "extended_by_depth": float(deep is not None and method != "homography"),
    }
    weight = np.exp(np.clip(raw.importance_hw, 0, 30)) * (trust + 1e-3)
    return PairWarp(
        homography_33=homography,
        residual_hw2=residual,
        visible_hw=visible,
        weight_hw=weight.astype(np.float32),
        size_t=size_t,
        size_r=size_r,
        method=method,
        overlap=evidence.overlap,
        statistics=statistics,
    )


def _identical(size: Size, options: PairOptions) -> PairWarp:
    net = model_size(*size, options.flow)
    ones = np.ones((net[1], net[0]), np.float32)
    return PairWarp(
        homography_33=np.eye(3),
        residual_hw2=np.zeros((*ones.shape, 2), np.float32),
        visible_hw=ones > 0,
        weight_hw=ones,
        size_t=size,
        size_r=size,
        method="identical",
        overlap=1.0,
        statistics={},
    )


def _homography_from_flow(
    graph: Graph, target_HW3: Image, reference_HW3: Image, alignment: Alignment, options: PairOptions, which: str
) -> Matrix:
    """Without enough feature matches, let the network match the raw pair, and fit its consistent pixels."""
    size_t, size_r = size_of(target_HW3), size_of(reference_HW3)
    plain = resize_matrix(size_t, size_r)
    raw = estimate_flow(graph, target_HW3, reference_HW3, plain, options.flow, equalise=False)
    scores = _agreement(raw, raw.residual_hw2)
    reason = lacking(_evidence(raw, raw.consistent_hw, scores, False), options.refusal)
    if reason:
        if alignment.folded:
            raise degenerate_flow(which)
        raise low_overlap(which, f"{alignment.inliers} feature matches agree on one map, and {reason}")
    grid = reduced_grid(size_t, size_of(raw.residual_hw2))
    source = grid[raw.consistent_hw][::7]
    landed = apply_homography(plain, grid + raw.residual_hw2)[raw.consistent_hw][::7]
    threshold = options.alignment.threshold_px * max(size_r) / options.alignment.long_side
    fitted, _ = cv2.findHomography(
        source.astype(np.float64),
        landed.astype(np.float64),
        cv2.USAC_MAGSAC,
        max(threshold, 1.0),
        maxIters=2000,
        confidence=0.999,
    )
    if fitted is None or not np.isfinite(fitted).all():
        return plain
    fitted = fitted / fitted[2, 2]
    return fitted if is_sane(fitted, size_t, options.alignment.largest_stretch) else plain


def _trusted_residual(raw: RawFlow, plain: Agreement, options: PairOptions) -> tuple[Floats, Floats]:
    """The network's residual as far as it helps, and the trust [h,w] in 0..1: where it returns.

    `plain` is the homography's own agreement.
    """
    helps = share_that_helps(_agreement(raw, raw.residual_hw2), plain, step=options.helpful_rise)
    # Only a small residual can be noise; a larger one that returns is motion, even where texture cannot tell.
    helps = np.maximum(helps, np.clip(np.linalg.norm(raw.residual_hw2 * vector(*raw.net_scale), axis=-1) - 0.5, 0, 1))
    # A lone consistent pixel among contradictions is chance.
    core = cv2.medianBlur(raw.consistent_hw.astype(np.uint8) * 255, 5) > 127
    trust = (core & raw.consistent_hw).astype(np.float32)
    return raw.residual_hw2 * helps[..., None], trust


def _base(
    alignment: Alignment,
    homography_33: Matrix,
    residual_hw2: Floats,
    trust_hw: Floats,
    size_t: Size,
    size_r: Size,
    options: PairOptions,
) -> Matrix:
    """The homography that what the reference does not show is continued from."""
    if alignment.plane_33 is None:
        return homography_33
    grid = reduced_grid(size_t, size_of(residual_hw2))
    landed = apply_homography(homography_33, grid + residual_hw2)
    candidates = (homography_33, alignment.plane_33)
    return continuing(candidates, landed, trust_hw > 0.5, size_t, size_r, options.extension)


def _by_depth(
    homography_33: Matrix,
    residual_hw2: Floats,
    trust_hw: Floats,
    depth: Floats | None,
    matches_N4: Floats,
    size_t: Size,
    size_r: Size,
    options: PairOptions,
) -> Floats | None:
    """The residual with depth's continuation, None where depth does not help or the warp would fold."""
    if depth is None:
        return None
    deep = extend_by_depth(
        homography_33, residual_hw2, trust_hw, depth, matches_N4, size_t, size_r, options.parallax, options.extension
    )
    if deep is None:
        return None
    grid = reduced_grid(size_t, size_of(deep))
    return None if is_degenerate(apply_homography(homography_33, grid + deep), grid, options.refusal) else deep


def _agreement(raw: RawFlow, residual_hw2: Floats) -> Agreement:
    """Correlation where the homography puts the target inside the reference: the same pixels for every residual."""
    seen = np.asarray(raw.reference_hw3.any(-1), np.bool_)
    return local_agreement(raw.target_hw3, _resample(raw, residual_hw2), seen)


def _resample(raw: RawFlow, residual_hw2: Floats) -> Image:
    """The aligned reference as the residual shows it, at network size."""
    return resampled(raw.reference_hw3, residual_hw2 * vector(*raw.net_scale))


def _evidence(
    raw: RawFlow,
    visible_hw: NDArray[np.bool_],
    scores: Agreement,
    aligned: bool,
    landing: NDArray[np.bool_] | None = None,
) -> Evidence:
    landing_hw = raw.inside_hw if landing is None else landing
    returning = float((visible_hw & landing_hw).sum() / max(int(landing_hw.sum()), 1))
    return Evidence(
        aligned=aligned,
        returning=returning,
        overlap=float(visible_hw.mean()),
        agreement=scores.mean,
        textured=scores.textured,
    )


def _homography_overlap(homography_33: Matrix, size_t: Size, size_r: Size, grid_hw2: Floats) -> NDArray[np.bool_]:
    return inside(apply_homography(homography_33, grid_hw2), size_r)
