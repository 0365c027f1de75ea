"""Pictures that aren't of 8 bits per channel: 10 to 16 bits, 32-bit integers, signed ones, floats; grey or colour.

Their exact values are the picture's samples, in a type of their own. Pillow has modes for some that are grey (``OWN``);
all others lie beside the picture, as ``info["samples"]``, (H, W) or (H, W, C), and the picture is a view of them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

SAMPLES = "samples"
NODATA = "nodata"  # the value, beside NaN, of pixels that nothing is known of
OWN = {"I;16": "uint16", "I": "int32", "F": "float32"}  # Pillow's modes, and the type of their samples
VIEWS = {2: "LA", 3: "RGB", 4: "RGBA"}  # by the count of channels
TYPES = ("uint16", "int8", "int16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
GDAL_NODATA = 42113
SENSOR = 12  # bits: grey of no more, in a file of 16, comes from a sensor, and would look black
LINES = 256  # are made a view at a time, so that memory stays small
SOME = 1 << 20  # of the samples tell their range


def type_of(image: Image.Image) -> np.dtype:
    """The type of the samples of a file that Pillow has opened, but not yet loaded."""
    if isinstance(image, TiffImageFile):
        return tiff_type(max(image.tag_v2.get(258, (8,))), max(image.tag_v2.get(339, (1,))))
    if isinstance(image, PngImageFile) and image.tile and "16" in str(image.tile[0][3]):
        return np.dtype(np.uint16)
    return np.dtype(np.uint16 if image.mode.startswith("I;16") else OWN.get(image.mode, np.uint8))


def tiff_type(bits: int, kind: int) -> np.dtype:
    """From BitsPerSample, where fewer than 8 or 16 count as these, and SampleFormat: 1 unsigned, 2 signed, 3 floats."""
    return np.dtype({2: "i", 3: "f"}.get(kind, "u") + ("1" if bits <= 8 else "2" if bits <= 16 else str(bits // 8)))


def of_samples(samples: np.ndarray, mode: str = "") -> Image.Image:
    """The picture of samples (H, W), or (H, W, C) with C from 2 to 4: grey and alpha, RGB, RGBA.

    Those that lie beside it are not copied.

    Args:
        mode: of the picture. "": Pillow's own for the samples if there is one, else a view.
    """
    if samples.ndim == 3:
        mode = VIEWS[samples.shape[2]]
    elif not mode:
        own = next((own for own, name in OWN.items() if samples.dtype == name), None)
        if own:
            return Image.fromarray(samples)
        mode = "I" if samples.dtype in (np.int8, np.int16) else "F"
    picture = Image.new(mode, samples.shape[1::-1])
    picture.info[SAMPLES] = samples
    refresh(picture)
    return picture


def samples_of(picture: Image.Image) -> np.ndarray | None:
    """The samples (H, W) or (H, W, C); None where they are the picture's own 8 bits. Those beside a picture that has
    another size by now don't count."""
    samples: np.ndarray | None = picture.info.get(SAMPLES)
    if (
        samples is not None
        and samples.shape == (picture.height, picture.width, len(picture.getbands()))[: samples.ndim]
    ):
        return samples
    return np.asarray(picture) if picture.mode in OWN else None


def is_beside(picture: Image.Image) -> bool:
    """Whether the samples lie beside the picture."""
    return picture.info.get(SAMPLES) is not None and samples_of(picture) is picture.info[SAMPLES]


def part_of(picture: Image.Image, box: tuple[int, int, int, int]) -> np.ndarray | None:
    """`samples_of` what lies in a box: left, top, right, bottom."""
    if is_beside(picture):
        samples: np.ndarray = picture.info[SAMPLES]
        return samples[box[1] : box[3], box[0] : box[2]]
    return samples_of(picture.crop(box)) if picture.mode in OWN else None


def put_part(picture: Image.Image, pixels: np.ndarray, box: tuple[int, int, int, int]) -> None:
    """Put pixels back in a box. Samples beside the picture were changed where they lie; `refresh` shows them."""
    if not is_beside(picture):
        picture.paste(Image.fromarray(pixels, "CMYK") if picture.mode == "CMYK" else Image.fromarray(pixels), box)


def refresh(picture: Image.Image) -> None:
    """Make the view anew of the samples beside."""
    samples = picture.info[SAMPLES]
    low, high = (0.0, 1.0) if within_one(samples) else known_range(samples, None)
    for top in range(0, len(samples), LINES):
        part = samples[top : top + LINES]
        if picture.mode in OWN:
            with np.errstate(over="ignore"):  # float64 can hold more
                view = part.astype(OWN[picture.mode])
        elif samples.dtype == np.uint16:
            view = (part >> 8).astype(np.uint8)
        else:
            finite = np.nan_to_num(part.astype(np.float64), nan=low, posinf=high, neginf=low)
            levels = (finite - low) * (255 / ((high - low) or 1))
            view = levels.clip(0, 255).round().astype(np.uint8)
        picture.paste(Image.fromarray(view), (0, top))


def view(picture: Image.Image) -> Image.Image:
    """8 bits per channel: what the picture looks like."""
    if picture.mode not in OWN:
        return picture
    samples = np.asarray(picture)
    if picture.mode == "I;16":
        most = int(samples.max(initial=0))
        used = most.bit_length() if most < 1 << SENSOR else 16
        return Image.fromarray((samples >> max(0, used - 8)).astype(np.uint8))
    shown = Image.new("L", picture.size)
    shown.info[SAMPLES] = samples
    refresh(shown)
    del shown.info[SAMPLES]
    return shown


def missing(picture: Image.Image) -> np.ndarray | None:
    """(H, W) bool, True where nothing is known: NaN or infinite, or the value that the file calls nodata (GDAL's tag).
    None where there is no such pixel."""
    samples = samples_of(picture)
    if samples is None:
        return None
    found = ~np.isfinite(samples) if samples.dtype.kind == "f" else np.zeros(samples.shape, bool)
    if (value := picture.info.get(NODATA)) is not None:
        with np.errstate(over="ignore"):
            found |= samples == (samples.dtype.type(value) if samples.dtype.kind == "f" else value)
    if found.ndim == 3:
        found = found.any(2)
    return found if found.any() else None


def nodata_of(image: Image.Image) -> float | None:
    """GDAL's nodata value of a TIFF that Pillow has opened."""
    try:
        return float(image.tag_v2[GDAL_NODATA].strip("\0 ")) if isinstance(image, TiffImageFile) else None
    except (KeyError, ValueError, AttributeError):
        return None


def known_range(samples: np.ndarray, known: np.ndarray | None) -> tuple[float, float]:
    """From where to where values go, but for a few that lie far off, such as hot pixels.

    Args:
        samples: (H, W) or (H, W, C).
        known: (H, W) bool; None: all.

    Returns:
        The least and the largest, not further from the middle 98 % than half of their spread; (0, 1) of none.
    """
    step = max(1, int((samples.size / SOME) ** 0.5))
    some = samples[::step, ::step] if known is None or known[::step, ::step].any() else samples
    if known is not None:
        some = some[known[::step, ::step] if some.shape[:2] != known.shape else known]
    values = some[np.isfinite(some)].astype(np.float64)
    if not values.size:
        return 0.0, 1.0
    least, first, last, most = np.quantile(values, (0, 0.01, 0.99, 1))
    if first < last:
        least, most = max(least, first - (last - first) / 2), min(most, last + (last - first) / 2)
    return float(least), float(most)


def within_one(samples: np.ndarray) -> bool:
    """Floats of 0 to 1, black to white."""
    return samples.dtype.kind == "f" and bool(samples.min() >= 0 and samples.max() <= 1)
