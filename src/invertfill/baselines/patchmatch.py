"""PatchMatch: the hole from patches of the rest of the picture, coarse to fine."""

from __future__ import annotations

from invertfill.baselines import Baseline
from invertfill.baselines.drawing import Drawing
from invertfill.engines import open_engine
from invertfill.registry import PATCHMATCH, PatchMatch, find_models


def load() -> Drawing:
    """Raises InputError where PyPatchMatch can't be loaded."""
    (found,) = find_models(PATCHMATCH)
    assert isinstance(found, PatchMatch)
    identity = f"PyPatchMatch {found.version} inpaint, patches of {2 * found.patch + 1} px, one seed for all pictures"
    return Drawing(open_engine(found), identity, size=None)


BASELINE = Baseline(
    PATCHMATCH,
    "Barnes, Shechtman, Finkelstein, Goldman, PatchMatch: A Randomized Correspondence Algorithm",
    2009,
    "nothing: PyPatchMatch's implementation, as `--model exemplar` has it, but without that command's border matching",
    load,
)
