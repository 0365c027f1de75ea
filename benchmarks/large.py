"""Large photographs: what a fill costs by size of picture and hole, and what detail from the surroundings is worth.

    python benchmarks/large.py cost photo.jpg --megapixels 0.26,12,48
    INVERTFILL_WEIGHTS=weights python benchmarks/large.py detail photos --count 8

`cost` brings one photograph to each size and fills a disc of 0.1, 1 and 10 % of it in a process of its own. Printed:
the seconds that opening alone, opening and filling, and saving as JPEG take, all after a first fill, which loads
everything, and the peak of the process's memory: as it is, and what it exceeds the first fill's by, in multiples of the
picture's own memory as Pillow holds it (four bytes a pixel).

`detail` hides part of the 1024-px middle of each photograph and fills it at a quarter of the size: with the model, and
with the original itself made small, the best that a model could do. Both are put back by plain enlargement and with
detail. Beside them the model at full size in tiles, the one with most known pixels first, half a tile apart. Printed:
the mean LPIPS (AlexNet) to the original, over the middle 512 px.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from invertfill.cli import run
from invertfill.engines.base import CropRequest, Engine, latent_of

HOLES = (0.001, 0.01, 0.1)  # of the picture


def disc(width: int, height: int, share: float) -> np.ndarray:
    """(H, W) bool: a disc right of the middle."""
    y, x = np.ogrid[:height, :width]
    return (y - height / 2) ** 2 + (x - width * 0.6) ** 2 <= width * height * share / np.pi


def one(photo: Path, hole: Path) -> None:
    """What `cost` runs in a process of its own."""
    import resource

    import invertfill
    from invertfill.imaging.reading import open_image

    def peak() -> int:
        status = Path("/proc/self/status")
        if status.exists():  # Linux counts a parent's memory into ru_maxrss
            return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes

    inpainter = invertfill.load("faces-256")
    inpainter.fill(np.zeros((256, 256, 3), np.uint8), np.eye(256, dtype=bool))
    before, times = peak(), [time.perf_counter()]
    pixels = np.prod(open_image(photo).size)
    times.append(time.perf_counter())
    filled = inpainter.fill(photo, hole)
    times.append(time.perf_counter())
    filled.save(hole.with_name("filled.jpg"))
    times.append(time.perf_counter())
    seconds = dict(zip(("open", "fill", "save"), np.diff(times).tolist(), strict=True))
    print(json.dumps({**seconds, "peak": peak(), "added": (peak() - before) / (4.0 * pixels)}))


def cost(photo: Path, megapixels: str = "0.26,12,48") -> None:
    """Seconds and memory by size of picture and hole."""
    table = Table("megapixels", "hole", "open s", "fill s", "save s", "peak MB", "added / picture")
    original = Image.open(photo).convert("RGB")
    for million in map(float, megapixels.split(",")):
        scale = (million * 1e6 / (original.width * original.height)) ** 0.5
        picture = original.resize((round(original.width * scale), round(original.height * scale)))
        with tempfile.TemporaryDirectory() as folder:
            resized, hole = Path(folder) / "photo.jpg", Path(folder) / "hole.png"
            picture.save(resized, quality=90)
            for share in HOLES:
                Image.fromarray(disc(*picture.size, share)).save(hole)
                command = [sys.executable, __file__, "one", str(resized), str(hole)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found = json.loads(done.stdout)
                table.add_row(
                    f"{million:g}",
                    f"{share:.1%}",
                    *(f"{found[name]:.2f}" for name in ("open", "fill", "save")),
                    f"{found['peak'] / 1e6:.0f}",
                    f"{found['added']:.1f}",
                )
    Console(width=120).print(table)


def detail(photos: Path, count: int = 8, model: str = "faces-256") -> None:
    """LPIPS with and without detail."""
    import invertfill
    from invertfill.evaluation.metrics import as_tensor
    from invertfill.imaging.formats import list_images
    from invertfill.imaging.reading import open_image
    from invertfill.losses.lpips import lpips
    from invertfill.masks.sampler import sample_masks
    from invertfill.pipeline.blending import match_border
    from invertfill.pipeline.crops import Crop, cut, put_back
    from invertfill.pipeline.detail import put_back_with_detail

    engine = invertfill.load(model).engine
    size, side = engine.model.size, 4 * engine.model.size
    files = list_images(photos)[:count]
    masks = sample_masks(len(files), size, "freeform", "0.3-0.5", seed=0)
    region, found = Crop(0, 0, side), []
    for file, small_hole in zip(files, masks, strict=True):
        picture = open_image(file).convert("RGB")
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        rgb = np.asarray(picture.crop((left, top, left + side, top + side)))
        hole = small_hole.repeat(4, 0).repeat(4, 1)
        seen, mask = cut(rgb, hole, region, size)
        truth, _ = cut(rgb, np.zeros_like(hole), region, size)
        drawn = engine.fill(CropRequest(seen[None], mask[None], latent_of(engine)))[0]
        pictures = [in_tiles(engine, rgb, hole)]
        for output in (match_border(drawn, seen, mask), truth):
            pictures.append(put_back(rgb, hole, region, output))
            pictures.append(put_back_with_detail(rgb, hole, region, output, mask))
        middle = slice(side // 4, -side // 4)
        tensors = [as_tensor([p[middle, middle]]) for p in (rgb, *pictures)]
        found.append([float(lpips(tensor, tensors[0], "alex")) for tensor in tensors[1:]])
    table = Table("fill", "in tiles", "enlarged", "with detail", title=f"LPIPS AlexNet, {len(files)} photographs")
    means = [f"{value:.4f}" for value in np.mean(found, 0)]
    table.add_row("by the model", *means[:3])
    table.add_row("original made small", "", *means[3:])
    Console(width=120).print(table)


def in_tiles(engine: Engine, rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The hole of (H, W, 3) filled at full size, window by window; what one has filled, the next one knows."""
    from invertfill.pipeline.blending import match_border
    from invertfill.pipeline.crops import Crop, cut, put_back

    rgb, hole, size = rgb.copy(), hole.copy(), engine.model.size
    starts = range(0, len(hole) - size + 1, size // 2)
    windows = [np.s_[y : y + size, x : x + size] for y in starts for x in starts]
    region = Crop(0, 0, size)
    while hole.any():
        # Not empty, and as much known as there is. What is nearest to the border comes first.
        window = min((w for w in windows if hole[w].any()), key=lambda w: hole[w].mean())
        seen, mask = cut(rgb[window], hole[window], region, size)
        output = engine.fill(CropRequest(seen[None], mask[None], latent_of(engine)))[0]
        rgb[window] = put_back(rgb[window], hole[window], region, match_border(output, seen, mask))
        hole[window] = False
    return rgb


if __name__ == "__main__":
    run(cost, detail, one)
