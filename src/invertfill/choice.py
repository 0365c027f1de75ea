"""Which model fills a picture: the one that does best where the answer is known.

A little more is hidden next to the holes, and every model fills it together with the holes. Of several learned models
the one stays whose domain is nearest: that redraws best what it was shown, or whose mean picture the picture is like;
then what the hidden part was made into is compared with what was there. Nothing is left to chance: the same picture
gets the same model each time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from invertfill.engines import Engine
from invertfill.imaging.blend import match_border
from invertfill.zoo import EXEMPLAR, EXEMPLAR_EXTRA

VIEWS = 4  # at most so many regions of a picture take part, those with the largest holes
RADIUS = 3 / 32  # of the discs that are hidden, in sides of the view: deep enough that no border gives them away
APART = 1.5  # their centres, in radii
SHARE = 0.2  # of what is known is hidden at most
LEAST = 64  # pixels have to be known for that
SCALES = 4  # the hidden part is compared at full size, a half, a quarter and an eighth
TEXTURE = 0.2  # weight of the contrasts' ratio beside the colours' difference: see docs/choosing.md
TOLERATED = 0.4  # of that ratio's logarithm: models' fills are a little smooth even where they fit
FAINT = 0.005  # contrast that counts as none
LIKENESS = 0.3  # of a picture and the mean one that a model of one composition gains by: see docs/choosing.md
LIKENESS_SIZE = 16  # pixels at which they are compared
TINY = 1e-6


class Chooser:
    """Several models, of which one is to be chosen for a picture.

    Args:
        engines: name -> loaded model; the first serves where there is nothing to try.
        aligned: name -> mean picture (3, s, s) of those that know whole pictures of one composition only, such as
            portraits. A trial can't tell that a face has no business in the grass, so parts of pictures are left to
            the others.
    """

    def __init__(self, engines: Mapping[str, Engine], aligned: Mapping[str, np.ndarray] | None = None) -> None:
        self.engines = dict(engines)
        self.aligned = dict(aligned or {})

    def choose(self, seen: np.ndarray, masks: np.ndarray, whole: bool = True) -> tuple[str, str]:
        """Choose for one picture.

        Args:
            seen: (N, 3, s, s) float32 in [-1, 1], what a model sees of each region with holes, 0 in these; s a power of
                two.
            masks: (N, 1, s, s) float32, 1 = hole.
            whole: the one region is the whole picture.

        Returns:
            The name of the model, and a line for the user: which and why.
        """
        names = list(self.engines)
        missing = "" if EXEMPLAR in names else f"; the exemplar filler isn't installed ({EXEMPLAR_EXTRA})"
        if len(names) == 1:
            return names[0], f"{names[0]}, the only model here{missing}"
        if not whole and (left := [name for name in names if name not in self.aligned]):
            if len(left) == 1:
                return left[0], f"{left[0]}; models of whole pictures fill no part of one{missing}"
            names = left
        views = np.argsort(-masks.mean((1, 2, 3)), kind="stable")[:VIEWS]
        seen, masks = seen[views], masks[views]
        if (masks == 0).sum((1, 2, 3)).min() < LEAST:
            return names[0], f"{names[0]}, untried: too little of the picture is known{missing}"
        hidden = np.stack([hide(mask[0] > 0)[None] for mask in masks]).astype(np.float32)
        tried = {name: self._try(self.engines[name], seen, masks, hidden) for name in names}
        far = {name: self._distance(name, tried[name][0], seen, masks) for name in names if name != EXEMPLAR}
        nearest, *left = sorted(far, key=lambda name: far[name])
        best, *others = sorted((name for name in names if name not in left), key=lambda name: tried[name][1])  # stable
        why = []
        if others:
            beaten = ", ".join(f"{name} {tried[name][1]:.3f}" for name in others)
            why.append(f"which predicted hidden pixels best (error {tried[best][1]:.3f}; {beaten})")
        if best == nearest and left:
            why.append(f"whose domain is nearer than that of {', '.join(left)}")
        return best, f"{best}, {' and '.join(why)}{missing}"

    def _distance(self, name: str, misfit: float, seen: np.ndarray, masks: np.ndarray) -> float:
        """Of a learned model's domain from the picture: the less it misfits known pixels, the nearer."""
        distance = float(np.log(max(misfit, TINY)))
        if name in self.aligned:
            distance += LIKENESS - likeness(seen[0], masks[0], self.aligned[name])
        return distance

    @staticmethod
    def _try(engine: Engine, seen: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> tuple[float, float]:
        """The errors of what a model makes, in all views, of the pixels it is shown, and of the hidden ones."""
        mask = (_resize(np.maximum(masks, hidden), engine.size) > 0).astype(np.float32)
        image = _resize(seen, engine.size) * (1 - mask)
        outputs = engine.fill(image, mask, engine.w_mean[None].repeat(len(image), 0))
        matched = np.stack([match_border(*arrays) for arrays in zip(outputs, image, mask, strict=True)])
        misfit = _mean(np.abs(outputs - image), 1 - mask)
        return misfit, difference(_resize(matched, seen.shape[-1]), seen, masks, hidden)


def likeness(seen: np.ndarray, mask: np.ndarray, mean: np.ndarray) -> float:
    """Correlations, summed, of a picture's brightness and of its redness with those of a model's mean picture.

    Args:
        seen, mean: (3, s, s) and (3, t, t) float32, about [-1, 1].
        mask: (1, s, s), 1 = hole.
    """
    visible = _resize(1 - mask[None], LIKENESS_SIZE)
    ours = (_resize((seen * (1 - mask))[None], LIKENESS_SIZE) / np.maximum(visible, TINY))[0]
    theirs, weight = _resize(mean[None], LIKENESS_SIZE)[0], (visible[0, 0] > 0.5).astype(float)
    total = 0.0
    for of in (lambda x: x.mean(0), lambda x: x[0] - x[2]):
        a, b = (of(x) - (of(x) * weight).sum() / max(weight.sum(), 1) for x in (ours, theirs))
        total += float((a * b * weight).sum() / np.sqrt((a * a * weight).sum() * (b * b * weight).sum() + TINY))
    return total


def hide(hole: np.ndarray) -> np.ndarray:
    """What to hide, (s, s) bool: discs around points of the holes' border, each as far as can be from those before.

    Args:
        hole: (s, s) bool, with at least ``LEAST`` pixels known.
    """
    known, room = ~hole, SHARE * (~hole).sum()
    radius = min(RADIUS * len(hole), float(np.sqrt(room / np.pi)))
    beside = np.pad(hole, 1)
    beside = beside[:-2, 1:-1] | beside[2:, 1:-1] | beside[1:-1, :-2] | beside[1:-1, 2:]
    border = np.argwhere(known & beside)
    y, x = np.indices(hole.shape)
    hidden, distance = np.zeros_like(hole), np.full(len(border), np.inf)
    while len(border) and distance.max() >= APART * radius:
        point = border[distance.argmax()]
        more = hidden | (known & (np.hypot(y - point[0], x - point[1]) <= radius))
        if more.sum() > room:
            break
        hidden, distance = more, np.minimum(distance, np.hypot(*(border - point).T))
    return hidden


def difference(output: np.ndarray, truth: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> float:
    """How unlike the truth an output is where it was hidden: by colour, and by how much contrast there is.

    Args:
        output, truth: (N, 3, s, s) float32, about [-1, 1].
        masks, hidden: (N, 1, s, s) float32, 1 = hole (nothing is known of the truth) and 1 = hidden.

    Returns:
        The mean absolute difference of the colours, plus ``TEXTURE`` times what exceeds ``TOLERATED`` of the absolute
        logarithm of the ratio of the mean absolute gradients, which tells a blur from a texture of the wrong phase;
        both as means over ``SCALES``.
    """
    colours, contrasts, visible = 0.0, 0.0, 1 - masks
    output, truth = output * visible, truth * visible
    for _ in range(SCALES):
        ours, theirs = output / np.maximum(visible, TINY), truth / np.maximum(visible, TINY)
        colours += _mean(np.abs(ours - theirs), hidden) / SCALES
        for axis in (2, 3):
            n = hidden.shape[axis]
            both = np.minimum(hidden.take(range(1, n), axis), hidden.take(range(n - 1), axis))
            ours_has, theirs_has = (_mean(np.abs(np.diff(x, axis=axis)), both) + FAINT for x in (ours, theirs))
            contrasts += abs(float(np.log(ours_has / theirs_has))) / (2 * SCALES)
        output, truth, visible, hidden = (_resize(x, n // 2) for x in (output, truth, visible, hidden))
    return colours + TEXTURE * max(contrasts - TOLERATED, 0.0)


def _mean(x: np.ndarray, weight: np.ndarray) -> float:
    """Of (N, C, h, w), each pixel with its weight (N, 1, h, w)."""
    return float((x.mean(1, keepdims=True) * weight).sum() / max(float(weight.sum()), TINY))


def _resize(x: np.ndarray, size: int) -> np.ndarray:
    """(N, C, s, s) -> (N, C, size, size), both powers of two: averages of squares, or each pixel repeated."""
    n, c, s, _ = x.shape
    if size >= s:
        return x.repeat(size // s, 2).repeat(size // s, 3)
    smaller: np.ndarray = x.reshape(n, c, size, s // size, size, s // size).mean((3, 5))
    return smaller
