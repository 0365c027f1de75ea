"""Which model fills a picture: the one that does best where the answer is known.

Of the learned models only one is tried: the one trained on that kind of picture, by the likelihood of what is known. A
little more is hidden next to the holes. This model and PatchMatch fill it together with the holes, and what they made
is compared with what was there. Nothing is left to chance: the same picture gets the same model each time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from invertfill.engines.base import CropRequest, Engine, latent_of
from invertfill.imaging.resize import resize
from invertfill.pipeline.blending import BLENDS
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.registry import NO_PATCHMATCH, PATCHMATCH

VIEWS = 4  # at most so many regions of a picture take part, those with the largest holes
RADIUS = 3 / 32  # of the discs that are hidden, in sides of the view: deep enough that no border gives them away
APART = 1.5  # their centres, in radii
SHARE = 0.2  # of what is known is hidden at most
LEAST = 64  # pixels have to be known for that
CELLS = (32, 16)  # a side: the hidden part is compared within squares of both sizes, 8 and 16 px at 256
FAINT = 0.04  # a standard deviation that counts as little
WHOLE = 0.2  # by so much must repeating beat a model of one composition: what a face lacks is nowhere else in it
TINY = 1e-6


class ModelSelector:
    """Several models, of which one is to be selected for a picture.

    Args:
        engines: name -> loaded model; the first serves where there is nothing to try.
        priors: name -> what the learned ones' pictures look like.
        aligned: those that know whole pictures of one composition only, such as portraits: parts of pictures are left
            to the others.
        size: side in pixels at which pictures are looked at, a power of two.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine],
        priors: Mapping[str, DomainPrior],
        aligned: Collection[str] = (),
        size: int = 256,
    ) -> None:
        self.engines = engines
        self.priors = dict(priors)
        self.aligned = set(aligned)
        self.size = size

    def select(self, seen: np.ndarray, masks: np.ndarray, whole: bool = True) -> tuple[str, str]:
        """Select for one picture.

        Args:
            seen: (N, 3, s, s) float32 in [-1, 1], what a model sees of each region with holes, 0 in these; s a power of
                two.
            masks: (N, 1, s, s) float32, 1 = hole.
            whole: the one region is the whole picture.

        Returns:
            The name of the model, and a line for the user: which and why.
        """
        names = list(self.engines)
        missing = "" if PATCHMATCH in names else f"; no {PATCHMATCH}: {NO_PATCHMATCH}"
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
        fits = {name: self.priors[name].log_likelihood(seen, masks) for name in names if name != PATCHMATCH}
        nearest = max(fits, key=lambda name: fits[name])  # of equals the first
        why = []
        if PATCHMATCH in names:
            hidden = np.stack([hide(mask[0] > 0)[None] for mask in masks]).astype(np.float32)
            with ThreadPoolExecutor(2) as pool:  # the filler takes one core and as long as opening and running a model
                tried = {name: pool.submit(self._try, name, seen, masks, hidden) for name in (nearest, PATCHMATCH)}
            errors = {name: trial.result() for name, trial in tried.items()}
            lead = WHOLE if nearest in self.aligned else 0.0
            best, other = (
                (PATCHMATCH, nearest) if errors[PATCHMATCH] + lead < errors[nearest] else (nearest, PATCHMATCH)
            )
            how = "predicted hidden pixels best" if errors[best] <= errors[other] else "knows such pictures as a whole"
            why.append(f"which {how} (error {errors[best]:.2f}; {other} {errors[other]:.2f})")
        else:
            best = nearest
        if best == nearest and (left := [name for name in fits if name != nearest]):
            why.append(f"whose domain is nearer than that of {', '.join(left)}")
        return best, f"{best}, {' and '.join(why)}{missing}"

    def _try(self, name: str, seen: np.ndarray, masks: np.ndarray, hidden: np.ndarray) -> float:
        """The error of what a model makes, in all views, of the hidden pixels."""
        engine = self.engines[name]
        size = engine.model.size
        mask = (resize(np.maximum(masks, hidden), size) > 0).astype(np.float32)
        image = resize(seen, size) * (1 - mask)
        outputs = engine.fill(CropRequest(image, mask, latent_of(engine).repeat(len(image), 0)))
        blend = BLENDS[engine.model.blend]
        matched = np.stack([blend(*arrays) for arrays in zip(outputs, image, mask, strict=True)])
        return difference(resize(matched, seen.shape[-1]), seen, masks, hidden)


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
    """How unlike the truth an output is where it was hidden.

    The three parts of SSIM (Wang et al. 2004) as a sum of distances, of each colour within square cells: 1 - twice the
    covariance by the sum of the variances, the absolute logarithm of the ratio of the standard deviations, and the
    absolute difference of the means.

    Args:
        output, truth: (N, 3, s, s) float32, about [-1, 1].
        masks, hidden: (N, 1, s, s) float32, 1 = hole (nothing is known of the truth) and 1 = hidden.

    Returns:
        A mean over cells, each by how much of it was hidden, and over ``CELLS``; 0 = equal.
    """
    visible, total = 1 - masks, 0.0
    for cells in CELLS:
        size = min(cells, truth.shape[-1])
        known = np.maximum(resize(visible, size), TINY)
        a, b, aa, bb, ab = (
            resize(x * visible, size) / known for x in (output, truth, output**2, truth**2, output * truth)
        )
        ours, theirs = np.maximum(aa - a * a, 0) + FAINT**2, np.maximum(bb - b * b, 0) + FAINT**2
        structure = 1 - 2 * (ab - a * b + FAINT**2) / (ours + theirs)
        contrast = np.abs(np.log(ours / theirs)) / 2
        weight = resize(hidden, size)
        each = (structure + contrast + np.abs(a - b)).mean(1, keepdims=True)
        total += float((each * weight).sum() / max(float(weight.sum()), TINY)) / len(CELLS)
    return total
