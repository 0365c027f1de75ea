"""Pieces drawn and put into the picture. Here alone lies the hard constraint: known pixels stay byte for byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
from PIL import Image

from invertfill.engines.base import CropRequest, latent_of, noise_of
from invertfill.imaging.colour import from_srgb, to_srgb
from invertfill.imaging.depth import SAMPLES, is_beside, part_of, put_part, refresh, samples_of
from invertfill.imaging.palette import restored
from invertfill.notes import silent
from invertfill.options import AUTO, FillOptions
from invertfill.pipeline.blending import BLENDS
from invertfill.pipeline.crops import bounds, enlarge, put_back
from invertfill.pipeline.detail import LACKS_DETAIL, put_back_with_detail
from invertfill.pipeline.feather import pixels_in
from invertfill.pipeline.flat import NEAR, few_colours, nearest, visible
from invertfill.pipeline.grain import add_grain
from invertfill.pipeline.levels import between_steps
from invertfill.pipeline.pieces import Job, Piece
from invertfill.pipeline.result import FillResult
from invertfill.pipeline.transparency import alpha_of, continued, greatest, opaque_in, over
from invertfill.registry import PATCHMATCH


def draw(jobs: Sequence[Job], batch: int, options: FillOptions) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each piece O_G, (3, s, s), and the same blended with the known pixels; `batch` of one engine at once."""
    for _, group in groupby((job for job in jobs if job.engine), lambda job: id(job.engine)):
        same = list(group)
        engine = same[0].engine
        assert engine is not None
        blend = BLENDS[engine.model.blend if options.blend == AUTO else options.blend]
        anchors = {seed: (latent_of(engine, seed), noise_of(engine, seed)) for seed in {job.seed for job in same}}
        pieces = [(piece, anchors[job.seed]) for job in same for piece in job.pieces]
        for start in range(0, len(pieces), batch):
            part = pieces[start : start + batch]
            image, mask = np.stack([piece.seen for piece, _ in part]), np.stack([piece.seen_mask for piece, _ in part])
            latents = np.concatenate([latent for _, (latent, _) in part])
            noise = [own for _, (_, own) in part if own is not None]
            request = CropRequest(image, mask, latents, np.stack(noise) if noise else None, options.quality == "best")
            for i, output in enumerate(engine.fill(request)):
                if engine.model.name == PATCHMATCH and part[i][0].levels is not None:
                    output = between_steps(output, image[i], mask[i])
                if not mask[i].all():
                    yield output, blend(output, image[i], mask[i])
                    continue
                if not engine.model.guesses_z:  # which draws of nothing, too
                    output = engine.synthesis(latents[i : i + 1])[0]
                yield output, output


def composite(
    job: Job, outputs: Iterator[tuple[np.ndarray, np.ndarray]], options: FillOptions, seconds: Callable[[], float]
) -> FillResult:
    """O = I * (1 - M) + O_G * M in the picture's own mode, so that known pixels never pass through a conversion.

    In a hole by transparency, M of a partly transparent pixel is what its alpha lacks.

    The job's picture itself is changed and returned, hole by hole: a second one would take as much memory again.
    """
    raw, picture = put(job, outputs, options), job.picture
    if job.feather:
        job.feather.fade(picture)
    if is_beside(picture) and (job.pieces or job.faces):
        refresh(picture)
    return FillResult(
        restored(picture),
        job.model,
        job.why,
        tuple(job.notes),
        job.seed,
        seconds(),
        raw,
        output_quality=options.output_quality,
        faces=len(job.faces),
        engine=job.ran,
    )


def put(job: Job, outputs: Iterator[tuple[np.ndarray, np.ndarray]], options: FillOptions) -> np.ndarray | None:
    """Put what was drawn into the job's picture; `FillResult.raw`."""
    picture = job.picture
    alpha, samples = alpha_of(picture), samples_of(picture)
    opaque = 255 if alpha is None or samples is None else greatest(samples)
    raw = np.array(to_srgb(picture, note=silent)) if options.keep_raw else None
    shared = any(piece.crop.part is not None for piece in job.pieces)
    given = copy_of(picture) if shared and job.by_alpha else picture  # squares that share pixels see what was there
    said = np.zeros(picture.size[::-1], np.float16) if shared else None  # of each pixel by squares so far
    for piece in job.pieces:
        turned = piece.turned
        where = (turned.rgb, turned.hole, piece.crop) if turned else (piece.rgb, piece.unknown, piece.crop)
        drawn, output = next(outputs)
        if raw is not None and not turned:
            x0, y0, x1, y1 = piece.box
            shown = np.s_[:] if piece.crop.part is None else piece.part > 0
            raw[y0:y1, x0:x1][shown] = enlarge(drawn, piece.crop, piece.hole.shape)[shown]
        enlarged = piece.crop.side > LACKS_DETAIL * output.shape[-1]
        filled = put_back_with_detail(*where, output, piece.seen_mask) if enlarged else put_back(*where, output)
        if turned:
            filled = turned.put_back(piece.rgb, piece.unknown, filled)
        colours = _colours_near(picture, piece) if samples is None else None
        if colours is None and samples is None:
            filled = add_grain(filled, piece.unknown, piece.part > 0, job.seed, piece.box[:2])
        left, top, right, bottom = bounds(piece.part)
        inside = np.s_[top:bottom, left:right]
        hole, weight = piece.part[inside] > 0, piece.part[inside]
        x, y = piece.box[:2]
        box = x + left, y + top, x + right, y + bottom
        part = part_of(picture, box)
        if part is not None and piece.levels is not None:
            part = part if is_beside(picture) else part.copy()
            content = piece.levels.values(filled[inside][hole], part)
        else:
            content = np.array(from_srgb(Image.fromarray(filled[inside]), picture))[hole]
            part = np.array(picture.crop(box))
        if alpha is not None:
            x0, y0, x1, y1 = piece.box
            around = alpha[y0:y1, x0:x1]
            if job.by_alpha:
                full = opaque_in(alpha)
                content = over(pixels_in(given, box)[hole], content, around[inside][hole], full)
                content[:, -1] = opaque * full / 255
            else:
                content[:, -1] = continued(around, piece.hole)[inside][hole] * (opaque / 255)
        if said is not None:
            before = said[box[1] : box[3], box[0] : box[2]]
            content = _faded(part[hole], content, before[hole], weight[hole])
            before += weight
        part[hole] = content if colours is None else nearest(content, colours)
        put_part(picture, part, box)
    return raw


def _faded(old: np.ndarray, new: np.ndarray, before: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pixels (N[, C]) of several squares so far, and of one more: their mean by weights (N,)."""
    share = weight.astype(np.float64) / (before.astype(np.float64) + weight)
    share = share.reshape(-1, *[1] * (new.ndim - 1))
    old = np.where(share == 1, new, old)  # where nothing was before, the new one exactly; what was there may be NaN
    mean = old + (new - old.astype(np.float64)) * share
    return (np.rint(mean) if new.dtype.kind in "iu" else mean).astype(new.dtype)


def _colours_near(picture: Image.Image, piece: Piece) -> np.ndarray | None:
    """Those around what the piece fills, if they are few; as the picture has them."""
    left, top, right, bottom = bounds(piece.part)
    left, top, right, bottom = max(left - NEAR, 0), max(top - NEAR, 0), right + NEAR, bottom + NEAR
    known = ~piece.hole[top:bottom, left:right]
    x, y = piece.box[0] + left, piece.box[1] + top
    pixels = np.asarray(picture.crop((x, y, x + known.shape[1], y + known.shape[0])))
    return few_colours(pixels, known & visible(picture, pixels))


def copy_of(picture: Image.Image) -> Image.Image:
    copy = picture.copy()
    if is_beside(picture):
        copy.info[SAMPLES] = picture.info[SAMPLES].copy()
    return copy
