"""Which pixels of a mask are hole, whatever it is painted in. True = hole.

Above half is hole, of what the kind of number holds. People paint otherwise too: labels, dark or coloured paint, paint
on nothing, a photograph with its hole erased. What is no mask at all, such as the photograph itself, is refused.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops

from invertfill.errors import InputError
from invertfill.imaging.depth import view
from invertfill.notes import Note

LABELS = 32  # where the largest value is below, values are numbers of things, 0 is none
DARK = 1 / 8  # of the range: up to here it is black, maybe with noise, and as far from the other end white
NEAR = 1 / 16  # of the range: values as near as that to the darkest or brightest belong to these
TWO = 2 / 3  # of the pixels of a mask belong to the darkest or brightest
SMALL = 256  # pixels a side, at which a mask's slopes are looked at and its content is compared with the picture's
SMOOTH = 0.02  # of the range: a slope changes by no more from pixel to pixel
SAMPLE = 1024  # pixels a side: a mask's colours are looked at in at most this size
FEW = 0.1  # of the painted pixels
COLOURED = 48  # levels between the strongest and weakest channel; noise of JPEG is below
SOME = 0.001  # of the pixels: fewer may be chance
GREY = 0.2  # of the pixels: with as much of it, a mask may be a photograph; the edge of a soft one has less
ALIKE = 0.9  # correlation of a mask with the picture where neither black nor white
WHAT = "accepted: white = hole on black, paint on nothing, or a photograph whose hole is transparent"


def hole_of_array(array: np.ndarray, name: str, note: Note, picture: Image.Image | None = None) -> np.ndarray:
    """(H, W) bool of an array (H, W) or (H, W, 1) of bool, any integers or floats, or (H, W, 3 or 4) without floats.

    Raises:
        InputError: another shape or type, negative values, NaN, or no two levels.
    """
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype.kind in "bui" and array.size:
        return hole_of_image(Image.fromarray(np.ascontiguousarray(_eight_bits(array, name))), name, note, picture)
    if array.ndim != 2:
        accepted = "(H, W), (H, W, 1), or integers (H, W, 3) and (H, W, 4)"
        raise InputError(f"{name}: mask array of shape {array.shape}; accepted: {accepted}")
    if array.dtype == bool:
        if picture is not None and array.size and _same_content(Image.fromarray(array), picture):
            raise InputError(f"{name}: shows the picture itself; {WHAT}")
        return array
    return _hole_of_numbers(array, name, picture)


def hole_of_image(image: Image.Image, name: str, note: Note, picture: Image.Image | None = None) -> np.ndarray:
    """(H, W) bool of an image of any mode.

    Args:
        image: the mask.
        name: for messages.
        note: told where the hole is what is transparent.
        picture: that the mask is for: a mask with its content is none.

    Raises:
        InputError: no mask.
    """
    if image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;16"):
        return hole_of_array(np.asarray(image), name, note, picture)
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        low, high = _range(image.getchannel("A"))
        if not high:
            return np.zeros((image.height, image.width), bool)
        if low < min(high, 128):
            return _hole_of_alpha(image, name, note, picture)
    rgb = image.convert("RGB")
    if _range(rgb)[1] < LABELS:
        return np.asarray(_brightest(rgb)) > 0
    sample = np.asarray(rgb.resize(_at_most(rgb.size, SAMPLE), Image.Resampling.NEAREST))
    coloured = np.ptp(sample, 2) > COLOURED
    if coloured.mean() < SOME or (sample.max(2) < 255 * DARK).mean() < SOME:
        return _hole_of_numbers(np.asarray(rgb.convert("L")), name, picture)
    brightest = np.asarray(_brightest(rgb))
    if rgb.getcolors(LABELS):  # flat colours on black, such as those of labels: dark ones too
        return np.asarray(brightest > 255 * DARK)
    return _hole_of_numbers(brightest, name, picture)


def _eight_bits(array: np.ndarray, name: str) -> np.ndarray:
    """Colours of bool, or of any integers up to 65535, as uint8."""
    if array.dtype in (bool, np.uint8):
        return array * np.uint8(255) if array.dtype == bool else array
    _check_positive(float(array.min()), name)
    if array.max() > 65535:
        raise InputError(f"{name}: a mask with values up to {array.max()}; accepted: colours up to 255 or 65535")
    return (array if array.max() <= 255 else array // 257).astype(np.uint8)


def _check_positive(low: float, name: str) -> None:
    if low < 0:
        raise InputError(f"{name}: a mask with negative values; accepted: 0 = known, and hole above half")


def _hole_of_alpha(image: Image.Image, name: str, note: Note, picture: Image.Image | None) -> np.ndarray:
    """Of a mask that is transparent in places: paint on nothing, or what is left of a photograph."""
    alpha = np.asarray(image.getchannel("A"))
    seen = alpha > 127
    sample = np.asarray(image.resize(_at_most(image.size, SAMPLE), Image.Resampling.NEAREST))
    colours = sample[sample[..., 3] > 127][:, :3]
    if not len(colours):  # faint paint, or next to none
        return _hole_of_numbers(alpha, name, None)
    darkest, brightest = colours.min(1), colours.max(1)
    black, white = (brightest < 255 * DARK).mean(), (darkest > 255 * (1 - DARK)).mean()
    if min(black, white) > SOME and black + white > TWO:  # a mask on a smaller ground: nothing counts as black
        ground = Image.new("RGB", image.size)
        ground.paste(image, mask=image.getchannel("A"))
        return _hole_of_numbers(np.asarray(ground.convert("L")), name, picture)
    _, counts = np.unique((colours >> 5) @ np.array([1, 8, 64], np.int16), return_counts=True)
    few = np.sort(counts)[-4:].sum() > 0.9 * len(colours)
    flat = len(np.unique(colours[:: max(1, len(colours) // 4096)], axis=0)) <= LABELS
    if flat or (few and not _same_content(image, picture, seen)):
        return _hole_of_numbers(alpha, name, None)
    note(f"{name}: a photograph; what is transparent in it is the hole")
    return ~seen


def _hole_of_numbers(values: np.ndarray, name: str, picture: Image.Image | None) -> np.ndarray:
    """(H, W) of any integers or floats."""
    kind = values.dtype
    if not (np.issubdtype(kind, np.integer) or np.issubdtype(kind, np.floating)):
        raise InputError(f"{name}: mask array of type {kind}; accepted: bool, integers (0 to 255) or floats (0 to 1)")
    if not values.size:
        return np.zeros(values.shape, bool)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(f"{name}: a mask with NaN or infinity; accepted: floats from 0 to 1, above 0.5 is hole")
    _check_positive(low, name)
    whole = np.issubdtype(kind, np.integer) or (high > 1 and np.equal(values, np.rint(values)).all())
    if whole and high < LABELS:
        return np.asarray(values > 0)
    top = 1.0 if high <= 1 else 255.0 if high <= 255 else 65535.0 if high <= 65535 else high
    levels, counts = _histogram(values, low, high)
    if 1 < high <= top / 2:  # dark paint, or fewer bits in a wider type
        top = high
    elif high > 1 and counts[levels > top / 2].sum() < FEW * counts[levels > DARK * top].sum():
        # Dark paint too: JPEG makes its edges brighter than it is.
        painted = np.where(levels > DARK * top, counts, 0).cumsum()
        top = float(levels[np.searchsorted(painted, painted[-1] / 2)])
    _check_levels(values, levels, counts, top, name, picture)
    return np.asarray(values > top / 2)


def _histogram(values: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """256 levels, and how many of the values are there."""
    if values.dtype == np.uint8:
        return np.arange(256.0), np.array(Image.fromarray(values).histogram())
    counts, edges = np.histogram(values, 256, (low, high if high > low else low + 1))
    return edges[:-1] + (edges[1:] - edges[:-1]) / 2, counts


def _check_levels(
    values: np.ndarray, levels: np.ndarray, counts: np.ndarray, top: float, name: str, picture: Image.Image | None
) -> None:
    """Raise InputError if these are a photograph's or the picture's."""
    there = levels[counts > 0]
    low, high = float(there[0]), float(there[-1])
    if len(there) == 1:
        if DARK * top < low < (1 - DARK) * top:
            raise InputError(f"{name}: one grey all over; {WHAT}")
        return
    if picture is not None and _same_content(Image.fromarray(_bytes(values, top)), picture):
        raise InputError(f"{name}: shows the picture itself; {WHAT}")
    near = NEAR * (high - low)
    if len(there) <= LABELS or counts[(levels <= low + near) | (levels >= high - near)].sum() >= TWO * values.size:
        return
    size = _at_most(values.shape[::-1], SMALL)
    small = (np.asarray(Image.fromarray(_bytes(values, top)).resize(size, Image.Resampling.BOX), np.float32)) / 255
    bend = max(float(np.quantile(np.abs(np.diff(small, 2, axis)), 0.99)) for axis in (0, 1) if small.shape[axis] > 2)
    if low > DARK * top or bend > SMOOTH:
        raise InputError(f"{name}: a picture in many levels, and no mask, which has two; {WHAT}")


def _same_content(mask: Image.Image, picture: Image.Image | None, seen: np.ndarray | None = None) -> bool:
    """Whether a mask shows the picture: where it is neither black nor white, it is as bright as that, or it equals it.

    Args:
        mask, picture: of any modes and sizes.
        seen: (H, W) of the mask: look at no more.
    """
    if picture is None:
        return False
    ours, theirs = (_small(image) for image in (mask, picture))
    where, least = (ours > 255 * DARK) & (ours < 255 * (1 - DARK)), GREY
    if seen is not None:
        where, least = _small(Image.fromarray(seen)) > 250, SOME
    if where.mean() > least:
        ours, theirs = ours[where], theirs[where]
        return bool(ours.std() > 1 and theirs.std() > 1 and np.corrcoef(ours, theirs)[0, 1] > ALIKE)
    if mask.size != picture.size or ours.std() < 1 or np.abs(ours - theirs).mean() > 255 * SOME * 4:
        return False
    sample = np.asarray(picture.resize(_at_most(picture.size, SAMPLE), Image.Resampling.NEAREST))
    if len(np.unique(sample.reshape(sample.shape[0] * sample.shape[1], -1), axis=0)) > 2:
        return False  # no mask, even if the hole in it is painted over
    difference = np.asarray(ImageChops.difference(_grey(mask), _grey(picture)))
    return bool((difference > 32).mean() < SOME)


def _grey(image: Image.Image) -> Image.Image:
    """L, of any mode."""
    image = view(image)
    return image if image.mode == "L" else image.convert("RGB").convert("L")


def _small(image: Image.Image) -> np.ndarray:
    """Grey levels, (s, s) float32, s = ``SMALL``."""
    if image.mode in ("L", "RGB", "RGBA", "CMYK"):  # before another mode takes as much memory
        image = image.resize((SMALL, SMALL), Image.Resampling.BOX)
    return np.asarray(_grey(image).resize((SMALL, SMALL), Image.Resampling.BOX), np.float32)


def _at_most(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """A size of the same proportions, with sides of at most `side` pixels."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _bytes(values: np.ndarray, top: float) -> np.ndarray:
    return values if values.dtype == np.uint8 and top == 255 else np.minimum(values * (255 / top), 255).astype(np.uint8)


def _range(image: Image.Image) -> tuple[int, int]:
    """The least and the largest level of all channels."""
    there = np.flatnonzero(np.reshape(image.histogram(), (-1, 256)).any(0))
    return int(there[0]), int(there[-1])


def _brightest(rgb: Image.Image) -> Image.Image:
    """The strongest channel of each pixel, L."""
    red, green, blue = rgb.split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)
