"""PatchMatch: the hole from patches of the rest of the picture, coarse to fine."""

from __future__ import annotations

from invertfill.baselines import Baseline
from invertfill.baselines.drawing import Drawing
from invertfill.engines import open_engine
from invertfill.options import FillOptions
from invertfill.registry import PATCH, PATCHMATCH, find_model


def load() -> Drawing:
    """Raises InputError where PyPatchMatch can't be loaded."""
    found = find_model(PATCHMATCH)
    identity = f"{found.source}, patches of {2 * PATCH + 1} px, one seed for all pictures, SHA-256 {found.sha256}"
    return Drawing(open_engine(found, FillOptions()), identity, size=None)


BASELINE = Baseline(
    PATCHMATCH,
    "Barnes, Shechtman, Finkelstein, Goldman, PatchMatch: A Randomized Correspondence Algorithm",
    2009,
    "nothing: PyPatchMatch's implementation, as `--model patchmatch` has it, without its border matching",
    load,
)
