"""Pictures of few colours, by a palette or of 1 bit. Filled in plain channels, they come back as they were.

An opened picture carries itself as it is in the file, upright, in ``info["few"]``: mode P or 1.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

FEW = "few"
MODES = ("P", "1")
CHUNK = 2**22  # distances in memory at once


def remember(picture: Image.Image, given: Image.Image) -> None:
    """`picture` has plain channels, `given` is the same in its own mode."""
    if given.mode in MODES and given.size == picture.size:
        picture.info[FEW] = given


def restored(picture: Image.Image) -> Image.Image:
    """The picture in the mode that it had in the file, the picture itself where it has that.

    What has changed takes the nearest of the colours that the rest has; all else keeps its place in the palette, which
    stays as it is.
    """
    given = picture.info.get(FEW)
    if given is None or given.size != picture.size:
        return picture
    info = {name: value for name, value in picture.info.items() if name != FEW}
    now, before = np.asarray(picture.convert("RGBA")), np.asarray(given.convert("RGBA"))
    changed = (now != before).any(2)
    if given.mode == "1":
        white = np.asarray(given).copy()
        white[changed] = now[changed, 0] > 127
        result = Image.fromarray(white)
    else:
        places = np.asarray(given).copy()
        if changed.any():
            used, where = np.unique(places if changed.all() else places[~changed], return_index=True)
            colours = (before if changed.all() else before[~changed]).reshape(-1, 4)[where]
            places[changed] = used[nearest(weighted(now[changed]), weighted(colours))]
        result = Image.fromarray(places)
        result.putpalette(
            given.palette.tobytes() if given.palette else [], given.palette.mode if given.palette else "L"
        )
        if "transparency" in given.info:
            info["transparency"] = given.info["transparency"]
    result.info = info
    return result


def nearest(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Which of the colours (K, C) is nearest to each of the pixels (N, C), at least one: (N,) int."""
    targets, step = colours.astype(np.float32), max(1, CHUNK // len(colours))
    parts = (pixels[start : start + step].astype(np.float32) for start in range(0, len(pixels), step))
    return np.concatenate([((targets**2).sum(1) - 2 * part @ targets.T).argmin(1) for part in parts])


def weighted(colours: np.ndarray) -> np.ndarray:
    """(N, 4) uint8 RGBA -> float32, colours times alpha: what is see-through shows none."""
    values = colours.astype(np.float32)
    values[:, :3] *= values[:, 3:] / 255
    return values
