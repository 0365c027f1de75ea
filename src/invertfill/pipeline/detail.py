"""Detail for holes that are larger than the model: what its own size can't show comes from the known surroundings.

A region that the model sees at 1/f of its size comes back as an enlargement, without texture. For each pixel of the
hole there is a known place that looks alike at the model's size, and what full size adds to the enlargement there, the
residual, is added here too. Residuals for inpainting: Yi et al. 2020 (arXiv 2005.09704). The known places are reached
by few shifts, each good for many pixels, so that textures stay in one piece: He and Sun 2012, "Statistics of Patch
Offsets for Image Completion".
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from invertfill.imaging.windows import mean_around
from invertfill.pipeline.crops import Box, Crop, bounds, enlarge_like

LACKS_DETAIL = 4 / 3  # a fill enlarged by this factor or less is left: it lacks little, and the search is long
SIDE = 128  # the places are sought at this size: finer, a fill and a photograph differ too much
PATCH = 7  # side of the patches that are compared
DIMENSIONS = 16  # of a patch, after a principal component analysis
SHIFTS = 128  # the commonest of the nearest patches' shifts are tried everywhere
SMOOTH = 3  # radius over which the cost of a shift is averaged before the cheapest is taken
CHUNK = 512  # patches at a time
ROWS = 64  # of the picture at a time
NEAR = 0.002  # distance in the picture, in cells, against distance in colour: of equal patches the nearest is taken
UNLIKE = 0.02  # squared difference of colours at which a residual counts for little; the range is [-1, 1]
TINY = 1e-6


def put_back_with_detail(
    rgb: np.ndarray, hole: np.ndarray, region: Crop, output: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """As `regions.put_back`, with detail from the surroundings.

    Args:
        rgb: (H, W, 3) uint8, or (H, W, 1 or 3) float32 of the same range.
        hole: (H, W) bool.
        region: the square that the output shows.
        output: (3, s, s) float32, about [-1, 1], its known pixels as they are in the picture; s a power of two.
        mask: (1, s, s) float32, 1 = hole.

    Returns:
        A new one like `rgb`; pixels outside the hole are those of `rgb`.
    """
    x0, y0, x1, y1 = region.inside(hole.shape[1], hole.shape[0])
    enlarged = enlarge_like(rgb, output, region)
    original, known = rgb[y0:y1, x0:x1], ~hole[y0:y1, x0:x1]
    shifts, gain = find_shifts(output.transpose(1, 2, 0), mask[0] > 0)
    cell = region.side / len(shifts)
    result = rgb.copy()
    for top in range(0, y1 - y0, ROWS):
        y, x = np.nonzero(~known[top : top + ROWS])
        y += top
        at = ((y + y0 - region.y) / cell).astype(np.int64), ((x + x0 - region.x) / cell).astype(np.int64)
        step = np.rint(shifts[at] * cell).astype(np.int64)
        v, u = (y + step[:, 0]).clip(0, y1 - y0 - 1), (x + step[:, 1]).clip(0, x1 - x0 - 1)
        residual = (original[v, u] - enlarged[v, u].astype(np.float32)) * (gain[at] * known[v, u])[:, None]
        detailed = (enlarged[y, x] + residual).clip(0, 255)
        result[y0 + y, x0 + x] = detailed.round() if rgb.dtype == np.uint8 else detailed
    return result


def find_shifts(low: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each part of a hole, the way to a known place with like surroundings.

    Args:
        low: (s, s, 3) float32 in about [-1, 1], filled; s a power of two.
        hole: (s, s) bool.

    Returns:
        shifts (c, c, 2) int, down and across, in cells of the region, c = min(s, 128); gain (c, c) float32 in [0, 1]:
        how much of the residual fits here: less where the fill is smoother than that place, 0 where none of the shifts
        leads to a known place.
    """
    step = max(1, len(low) // SIDE)
    side = len(low) // step
    low = low.reshape(side, step, side, step, 3).mean((1, 3))
    hole = np.asarray(hole.reshape(side, step, side, step).any((1, 3)))
    shifts, gain = np.zeros((side, side, 2), np.int64), np.zeros((side, side), np.float32)
    if not hole.any():
        return shifts, gain
    x0, y0, x1, y1 = bounds(hole)
    here, contrast = low[y0:y1, x0:x1], _contrast(low)
    cheapest = np.full((y1 - y0, x1 - x0), np.inf, np.float32)
    for dy, dx in _candidates(low, hole):
        box = x0 + dx, y0 + dy, x1 + dx, y1 + dy
        there, known = _shifted(low, box), _shifted(~hole, box)
        share = mean_around(known.astype(np.float32), SMOOTH)
        off = mean_around(np.square(here - there).sum(2) * known, SMOOTH)
        cost = off / np.maximum(share, TINY) + UNLIKE * (1 - share)
        better = known & hole[y0:y1, x0:x1] & (cost < cheapest)
        cheapest[better] = cost[better]
        shifts[y0:y1, x0:x1][better] = dy, dx
        smoother = contrast[y0:y1, x0:x1] / np.maximum(_shifted(contrast, box), TINY)
        # The square root: by LPIPS, too little detail is worse than detail that isn't quite right.
        gain[y0:y1, x0:x1][better] = np.sqrt(np.minimum(smoother, 1) * np.exp(-cost / UNLIKE))[better]
    return shifts, gain


def _candidates(low: np.ndarray, hole: np.ndarray) -> Iterator[tuple[int, int]]:
    """The commonest shifts from patches around hole pixels to their nearest known patches."""
    windows = np.lib.stride_tricks.sliding_window_view
    patches = windows(low, (PATCH, PATCH), (0, 1))
    columns, r = patches.shape[1], PATCH // 2
    flat = patches.reshape(-1, 3 * PATCH * PATCH)
    known = np.flatnonzero(~windows(hole, (PATCH, PATCH)).any((2, 3)))
    wanted = np.flatnonzero(hole[r:-r, r:-r])
    if not len(known) or not len(wanted):
        return
    _, axes = np.linalg.eigh(np.cov(flat[known].T))
    features = (flat - flat[known].mean(0)) @ axes[:, -DIMENSIONS:].astype(np.float32)
    place = np.stack(np.divmod(np.arange(len(flat)), columns), 1)
    # Without the place, rounding decides between equals, another way on each machine.
    features = np.concatenate([features, place.astype(np.float32) * NEAR], 1)
    keys, norms = features[known].T, np.square(features[known]).sum(1)
    parts = np.array_split(wanted, -(-len(wanted) // CHUNK))
    nearest = known[np.concatenate([(norms - 2 * features[part] @ keys).argmin(1) for part in parts])]
    moves = place[nearest] - place[wanted]
    found, counts = np.unique(moves, axis=0, return_counts=True)
    for dy, dx in found[np.argsort(-counts, kind="stable")[:SHIFTS]]:
        yield int(dy), int(dx)


def _contrast(low: np.ndarray) -> np.ndarray:
    """Local standard deviation of the brightness, (c, c)."""
    grey = low.mean(2)
    return np.sqrt(np.maximum(mean_around(grey * grey, SMOOTH) - np.square(mean_around(grey, SMOOTH)), 0)) + 0.005


def _shifted(x: np.ndarray, box: Box) -> np.ndarray:
    """What lies in a box, zero (or False) where that is outside."""
    left, top, right, bottom = box
    out = np.zeros((bottom - top, right - left, *x.shape[2:]), x.dtype)
    rows, columns = slice(max(top, 0), min(bottom, len(x))), slice(max(left, 0), min(right, x.shape[1]))
    inside = x[rows, columns]
    out[rows.start - top :, columns.start - left :][: len(inside), : inside.shape[1]] = inside
    return out
