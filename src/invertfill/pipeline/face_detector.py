"""Where faces are: BlazeFace (Bazarevsky et al. 2019, arXiv 1907.05047), its "back" model, by ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from invertfill.errors import InputError, one_line
from invertfill.registry import FACE_DETECTOR, SUMS, read_sums, sha256_of

if TYPE_CHECKING:
    import onnxruntime

SIZE = 256  # pixels a side, that it sees
LAYERS = ((16, 2), (8, 6))  # cells a side, and anchors in each
ALIKE = 0.3  # detections are of one face where their boxes overlap by this intersection over union


@dataclass(frozen=True)
class Face:
    """A face in a view, in the view's own coordinates: -1 - i at its top left to 1 + i.

    Attributes:
        score: how sure, in [0, 1].
        centre, size: of its box, from the brow to the chin.
        points: (6,) complex: the eyes (as one sees them: left, right), nose, mouth, ears.
    """

    score: float
    centre: complex
    size: complex
    points: np.ndarray


def find_faces(view: np.ndarray, least: float) -> list[Face]:
    """The faces in a picture, the surest first.

    Args:
        view: (3, 256, 256) float32 in [-1, 1].
        least: score.

    Raises:
        InputError: the detector's file is missing or damaged.
    """
    scores, values = _detect(np.ascontiguousarray(view.transpose(1, 2, 0)[None]))
    size = values[:, 1]
    likely = np.flatnonzero(
        (scores >= least) & (size.real > 0) & (size.imag > 0)
    )  # it says others, too, of what is none
    order = likely[np.argsort(-scores[likely], kind="stable")]
    faces: list[Face] = []
    while len(order):
        shared = _overlap(values[order[0]], values[order])
        same = order[shared >= ALIKE]
        order = order[shared < ALIKE]
        centre, size, *points = np.average(values[same], 0, scores[same])
        faces.append(Face(float(scores[same[0]]), complex(centre), complex(size), np.array(points)))
    return faces


def _detect(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each anchor the score, and (8,) complex: centre, size and points in [-1, 1]."""
    session = _session()
    logits: list[np.ndarray] = []
    values: list[np.ndarray] = []
    for output in session.run(None, {session.get_inputs()[0].name: image}):
        (logits if output.shape[-1] == 1 else values).append(output[0])
    scores = 1 / (1 + np.exp(-np.concatenate(logits)[:, 0].clip(-80, 80).astype(np.float64)))
    found = np.concatenate(values).reshape(len(scores), 8, 2).astype(np.float64).view(complex)[..., 0] * (2 / SIZE)
    found[:, [0, *range(2, 8)]] += _anchors()[:, None]
    return scores, found


@cache
def _anchors() -> np.ndarray:
    """(896,) complex: the middles of the cells, row by row."""
    return np.concatenate(
        [
            ((np.arange(n) + 0.5) * (2 / n) - 1 + 1j * ((np.arange(n)[:, None] + 0.5) * (2 / n) - 1)).ravel().repeat(k)
            for n, k in LAYERS
        ]
    )


@cache
def _session() -> onnxruntime.InferenceSession:
    import onnxruntime  # a tenth of a second, which a model by name may not need

    from invertfill.engines.onnx import session_options

    try:
        if sha256_of(FACE_DETECTOR) != read_sums(FACE_DETECTOR.with_name(SUMS)).get(FACE_DETECTOR.name):
            raise ValueError(f"its SHA-256 isn't the one in {SUMS}")
        # One thread: others would look for more work while the model begins.
        return onnxruntime.InferenceSession(FACE_DETECTOR, session_options(1), providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's exceptions have no common base but Exception
        raise InputError(
            f"{FACE_DETECTOR}: a face detector that can't be loaded ({one_line(error)}); accepted: faces off"
        ) from None


def _overlap(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes, by centre and size, (8,) and (N, 8)."""
    low = [box[..., 0] - box[..., 1] / 2 for box in (one, many)]
    high = [box[..., 0] + box[..., 1] / 2 for box in (one, many)]
    wide = np.minimum(high[0].real, high[1].real) - np.maximum(low[0].real, low[1].real)
    tall = np.minimum(high[0].imag, high[1].imag) - np.maximum(low[0].imag, low[1].imag)
    shared = wide.clip(0) * tall.clip(0)
    areas = [box[..., 1].real * box[..., 1].imag for box in (one, many)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9))
