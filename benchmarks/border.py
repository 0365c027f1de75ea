"""Both sides of a hole's border: gapping (the paper's RQ2, Figs. 4 and 6), and texture far from it (Fig. 7).

    invertfill evaluate --images photos --coverage extreme ... --blend none --pairs pairs -o report
    python benchmarks/border.py report pairs -o border
    python benchmarks/border.py runs/tables/report-5 runs/tables/pairs-5 --methods f+w+,f+w+_sml -o border

All is measured on raw outputs, what a method draws everywhere, before anything is pasted or blended:

- colour: mean absolute difference to the original on known pixels, by their distance from the hole, in levels of 255.
- border jump: `invertfill evaluate`'s, the jump of the gradient across the border less the original's.
- texture: mean absolute difference of luminance and its Gaussian average (sigma 1), in the hole, by the distance from
  what is known. The figure is the fill's over the original's at the same pixels: below 1 is blur. A texture that
  repeats itself isn't told from another.

Written: a figure, a table, and pictures at full size: hole; raw output above its pasted composite for each method;
original. Methods NAME.0, NAME.1, ... are seeds of one. Intervals (95 %) are over pictures and seeds.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from table_text import mean_cell, read_values
from typer import Argument, Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.evaluation.plots import COLOURS, SETTINGS, STYLES
from invertfill.evaluation.summary import mean_of_runs
from invertfill.imaging.files import make_folder, write_file
from invertfill.imaging.masks import read_mask
from invertfill.imaging.reading import open_image
from invertfill.imaging.sheet import contact_sheet
from invertfill.imaging.writing import save_image
from invertfill.notes import silent

EDGES = (1, 2, 4, 8, 16, 32, 64, np.inf)  # pixels
LUMINANCE = (0.299, 0.587, 0.114)
NEAR, FAR = 8, 16  # pixels: texture up to the one, and from the other on


def by_distance(values: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Means of (H, W) values between each two of `EDGES`, by (H, W) distance; NaN where no pixel is: (bins,)."""
    found = [values[(distance >= low) & (distance < high)] for low, high in pairwise(EDGES)]
    return np.array([part.mean() if part.size else np.nan for part in found])


def colour(raw: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Of (H, W, 3) uint8 pictures on known pixels, by the distance from the hole: (bins,), in levels of 255."""
    difference = np.abs(raw.astype(np.float64) - truth).mean(2)
    return by_distance(difference, np.where(hole, 0, distance_transform_edt(~hole)))


def detail(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W): how much each pixel differs from what is around it, in levels of luminance."""
    luminance = picture @ np.array(LUMINANCE)
    return np.abs(luminance - gaussian_filter(luminance, 1.0))


def texture(picture: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """`detail` in the hole, by the distance from what is known: (bins,)."""
    return by_distance(detail(picture), distance_transform_edt(hole))


def share(fills: np.ndarray, originals: np.ndarray, chosen: np.ndarray) -> tuple[float, float, float]:
    """Texture of fills over that of originals, each summed over pictures and some of the bins, with its interval.

    Args:
        fills: (seeds, pictures, bins).
        originals: (pictures, bins).
        chosen: (bins,) bool.
    """
    made, true = np.nansum(fills[..., chosen], -1).mean(0), np.nansum(originals[:, chosen], -1)
    if not true.sum():
        return np.nan, np.nan, np.nan
    rng, count = np.random.default_rng(0), len(true)
    weights = rng.multinomial(count, np.full(count, 1 / count), 2000)
    ratios = (weights @ made) / np.maximum(weights @ true, 1e-9)
    low, high = np.percentile(ratios, (2.5, 97.5))
    return float(made.sum() / true.sum()), float(low), float(high)


def read(path: Path) -> np.ndarray:
    return np.asarray(open_image(path, note=silent).convert("RGB"))


def draw(
    colours: dict[str, np.ndarray], jumps: dict[str, np.ndarray], textures: dict[str, np.ndarray], original: np.ndarray
) -> bytes:
    """The figure, SVG: by distance (seeds, pictures, bins), and jumps (seeds, pictures), of each method."""
    labels = [f"{low:g}-{high:g}" if np.isfinite(high) else f"{low:g}+" for low, high in pairwise(EDGES)]
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for i, name in enumerate(colours):
            look = {"color": COLOURS[i % len(COLOURS)], "ls": STYLES[i // len(COLOURS) % len(STYLES)]}
            for axes, found in ((left, colours[name]), (right, textures[name])):
                means = [mean_of_runs(found[..., k]) for k in range(len(labels))]
                axes.plot(labels, [m.mean for m in means], **look, marker="o", ms=3, label=name)
                axes.fill_between(
                    labels, [m.low for m in means], [m.high for m in means], color=look["color"], alpha=0.15
                )
            mean = mean_of_runs(jumps[name])
            error = [[mean.mean - mean.low], [mean.high - mean.mean]]
            middle.errorbar([mean.mean], [i], xerr=error, fmt="o", color=look["color"], capsize=3)
        right.plot(
            labels, [mean_of_runs(original[None, :, k]).mean for k in range(len(labels))], "k--", label="original"
        )
        middle.set_yticks(range(len(jumps)), list(jumps))
        middle.invert_yaxis()
        middle.axvline(0, color="k", lw=0.8)
        left.set(title="Colour difference outside the hole", xlabel="px from the hole", ylabel="levels of 255")
        middle.set(title="Jump of the gradient, less the original's", xlabel="levels of 255")
        right.set(title="Texture in the hole", xlabel="px from what is known", ylabel="levels of 255")
        for axes in (left, middle, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
        right.legend(frameon=False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue().encode()


def main(
    report: Annotated[Path, Argument(help="What `invertfill evaluate` wrote.")],
    pairs: Annotated[Path, Argument(help="Its --pairs.")],
    out: Annotated[Path, Option("-o", "--out", help="A folder.")],
    methods: Annotated[str, Option(help="These alone, by comma; of seeds without the number.")] = "",
    show: Annotated[int, Option(min=0, help="How many pictures, evenly spread over the names.")] = 4,
) -> None:
    """Write the figure, the table and the pictures."""
    try:
        sets = json.loads((report / "report.json").read_text(encoding="utf-8"))["sets"]
        values = read_values(report)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{report}: no report ({error}); accepted: a folder of invertfill evaluate") from None
    make_folder(out)
    for coverage in dict.fromkeys(found["class"] for found in sets):
        found = next(found for found in sets if found["class"] == coverage)
        groups: dict[str, list[str]] = defaultdict(list)
        for method in found["methods"]:
            groups[re.sub(r"\.\d+$", "", method["name"])].append(method["name"])
        chosen = methods.split(",") if methods else list(groups)
        if unknown := [name for name in chosen if name not in groups]:
            raise InputError(f"--methods {unknown[0]}; accepted: {', '.join(groups)}")
        names = sorted(path.stem for path in (pairs / coverage / "images").glob("*.png"))
        if len(names) != found["count"]:
            raise InputError(f"{pairs / coverage}: {len(names)} pairs; accepted: the report's {found['count']}")
        measure(report, pairs / coverage, found, {name: groups[name] for name in chosen}, values, names, out, show)


def measure(
    report: Path,
    pairs: Path,
    found: dict[str, object],
    groups: dict[str, list[str]],
    values: dict[tuple[str, str, str], dict[str, np.ndarray]],
    names: Sequence[str],
    out: Path,
    show: int,
) -> None:
    """One class of masks."""
    coverage, blend = str(found["class"]), str(found["blend"])
    truths = [read(pairs / "images" / f"{name}.png") for name in names]
    holes = [
        read_mask(pairs / "masks" / f"{name}.png", truth.shape[1::-1])
        for name, truth in zip(names, truths, strict=True)
    ]
    given = list(zip(names, truths, holes, strict=True))
    folder = report / "raw" / coverage
    colours, textures, jumps = {}, {}, {}
    for group, members in groups.items():
        raws = {(m, name): read(folder / m / f"{name}.png") for m in members for name in names}
        colours[group] = np.array([[colour(raws[m, n], truth, hole) for n, truth, hole in given] for m in members])
        textures[group] = np.array([[texture(raws[m, n], hole) for n, _, hole in given] for m in members])
        jumps[group] = np.stack([values[coverage, blend, m]["border_jump"] for m in members])
    original = np.array([texture(truth, hole) for _, truth, hole in given])
    write_file(out / f"border-{coverage}.svg", draw(colours, jumps, textures, original))

    low, high = np.array(EDGES[:-1]), np.array(EDGES[1:])
    head = ("method", f"colour, up to {EDGES[2]} px", "border jump", f"texture under {NEAR} px", f"from {FAR} px on")
    lines = [
        f"{coverage} masks, {len(names)} pictures; set {str(found['mask_set_sha256'])[:16]}\n",
        f"| {' | '.join(head)} |\n|{'---|' * len(head)}",
    ]
    for group in groups:
        near, far = (share(textures[group], original, which) for which in (high <= NEAR, low >= FAR))
        at_border = np.nanmean(colours[group][..., :2], -1)
        ratios = [
            "-" if np.isnan(mean) else f"{mean:.2f} [{least:.2f}, {most:.2f}]" for mean, least, most in (near, far)
        ]
        cells = [mean_cell(at_border, "known_colour"), mean_cell(jumps[group], "border_jump"), *ratios]
        lines.append(f"| {group} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    write_file(out / f"border-{coverage}.md", text.encode())
    print(text)

    for i in np.unique(np.linspace(0, len(names) - 1, min(show, len(names))).round().astype(int)):
        name, truth, hole = given[i]
        hidden = np.where(hole[..., None], np.uint8(127), truth)
        shown = [read(folder / members[0] / f"{name}.png") for members in groups.values()]
        pasted = [np.where(hole[..., None], raw, truth) for raw in shown]
        rows = [[hidden, *shown, truth], [hidden, *pasted, truth]]
        labels = ["hole", *groups, "original"]
        pictures = [Image.fromarray(picture) for row in rows for picture in row]
        sheet = contact_sheet(
            pictures, len(labels), labels=[*labels, "", *(f"{n}, pasted" for n in groups), ""], side=len(truth)
        )
        save_image(sheet, out / f"border-{coverage}-{name}.png")


if __name__ == "__main__":
    run(main)
