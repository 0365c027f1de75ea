"""Names -> models, with what is known about each: size, licence, origin, SHA-256.

A model folder is what ``invertfill export`` writes (see export.py). What is said about a model is read from the header
of its model.safetensors: 8 bytes of length (little-endian), then JSON, of which "__metadata__" holds the model's config
and provenance as JSON strings. The shipped folders lie in ``weights/``. Beside these learned models there is the
exemplar-based filler, which has learnt nothing, and "auto", which stands for all of them.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from invertfill.errors import InputError

if TYPE_CHECKING:
    import numpy as np

AUTO = "auto"  # the default: for each picture, the model that does best in a trial
PATCHMATCH = "exemplar"
NO_PATCHMATCH = "PyPatchMatch can't be loaded here"
WEIGHTS = Path(__file__).parent / "weights"
DOMAIN = "domain.npz"
NOISE = "rgb_branch.noise.pixels"
FILES = ("model.safetensors", "fill.onnx", "mapping.onnx", "synthesis.onnx", DOMAIN)
SUMS = "SHA256SUMS"  # of FILES, as sha256sum writes and checks it
HEADER_LIMIT = 100_000_000  # bytes, of the safetensors format
DTYPES = {"F16": "<f2", "F32": "<f4", "I64": "<i8"}  # safetensors -> NumPy, as far as export writes them


@dataclass(frozen=True)
class Model:
    """A model folder that was found complete.

    Attributes:
        name: the folder's name.
        folder: holds ``FILES`` and ``SUMS``.
        config: what the network is built from.
        provenance: where the weights come from, as given at the export.
        bytes: length of model.safetensors.
        tensors: name -> (NumPy dtype, shape, offset in bytes from the start of model.safetensors).
    """

    name: str
    folder: Path
    config: dict[str, Any]
    provenance: dict[str, Any]
    bytes: int
    tensors: dict[str, tuple[str, tuple[int, ...], int]] = field(repr=False)

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def size(self) -> int:
        """Side in pixels of the pictures inside the model."""
        return int(self.config["generator"]["size"])

    @property
    def guesses_z(self) -> bool:
        """Its encoder says which z the known pixels allow."""
        return bool(self.config.get("encoder", {}).get("z_dim", 0))

    @property
    def z_dim(self) -> int:
        """Entries of z."""
        generator = self.config["generator"]
        return int(generator.get("z_dim", 0) or generator.get("latent_dim", 512))

    @property
    def blend(self) -> str:
        """How its fills meet the known pixels: a key of `invertfill.pipeline.blending.BLENDS`."""
        return str(self.config.get("blend", "membrane"))

    @property
    def early(self) -> bool:
        """Its training isn't at its end: `auto` leaves it out."""
        return bool(self.provenance.get("early", False))

    @property
    def domain(self) -> str:
        """What the model has learnt to draw."""
        return str(self.provenance.get("domain", "unknown"))

    @property
    def licence(self) -> str:
        return str(self.provenance.get("licence", "unknown"))

    @property
    def source(self) -> str:
        """Where the weights come from."""
        return str(self.provenance.get("source", "unknown"))

    @property
    def aligned(self) -> bool:
        """It has learned whole pictures of one composition only, and knows nothing of their parts."""
        return bool(self.provenance.get("aligned", False))

    @cached_property
    def sha256(self) -> str:
        """Of model.safetensors, hex."""
        return sha256_of(self.weights)

    @cached_property
    def noise(self) -> np.ndarray | None:
        """What the texture of fills is drawn from, (1, s, s) float32; None for a model without."""
        return self.tensor(NOISE)[0].astype("float32") if NOISE in self.tensors else None

    def verify(self) -> None:
        """Compare every file with its sum.

        Raises:
            InputError: a file isn't what the folder was written with.
        """
        lines = (self.folder / SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
        for name in FILES:
            if f"{sha256_of(self.folder / name)}  {name}" not in lines:
                raise InputError(f"{self.folder / name}: damaged: its SHA-256 isn't the one in {SUMS}")

    def tensor(self, name: str) -> np.ndarray:
        """One tensor of model.safetensors, in the precision that it is stored in.

        Raises:
            InputError: there is no tensor of that name.
        """
        import numpy as np

        if name not in self.tensors:
            raise InputError(f"{self.weights}: holds no {name!r}; accepted: the weights of a whole model")
        dtype, shape, offset = self.tensors[name]
        return np.fromfile(self.weights, dtype, math.prod(shape), offset=offset).reshape(shape)


@dataclass(frozen=True)
class PatchMatch:
    """The exemplar-based filler: repeats what the known part of a picture shows. The library's, not ours.

    Attributes:
        version: of the library.
        size: side in pixels of what it sees of a picture.
        patch: radius in pixels of the patches that it compares.
    """

    version: str
    size: int = 256
    patch: int = 3

    name = PATCHMATCH
    domain = "what the rest of the picture shows: textures, grounds, anything that repeats"
    licence = "MIT"
    aligned = False
    early = False
    bytes = 0

    @property
    def source(self) -> str:
        """Where it comes from."""
        return f"PyPatchMatch {self.version}; nothing was learnt"

    @property
    def sha256(self) -> str:
        """Of what its fills depend on, hex: there are no weights."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


AnyModel: TypeAlias = Model | PatchMatch


def list_models() -> list[AnyModel]:
    """All that is installed: the shipped models by name, then the exemplar-based filler where it can be loaded."""
    return [*(_open_model(WEIGHTS / name) for name in _names()), *_patchmatch()]


def find_models(name_or_folder: str | Path) -> list[AnyModel]:
    """What a name stands for: "auto" for all that is installed, any other name or folder for one model.

    Raises:
        InputError: see `find_model`; or nothing is installed.
    """
    if name_or_folder == AUTO:
        if not (found := [model for model in list_models() if not model.early]):
            raise InputError("no model ships with this installation; accepted elsewhere: --model FOLDER")
        return found
    if name_or_folder == PATCHMATCH:
        if not (found := _patchmatch()):
            raise InputError(f"{PATCHMATCH}: {NO_PATCHMATCH}; accepted: {', '.join([*_names(), 'a model folder'])}")
        return found
    return [_find_learned(name_or_folder, also=(AUTO, PATCHMATCH))]


def fingerprint(name_or_folder: str | Path) -> str:
    """Of all that decides how a picture is filled, hex: a model's SHA-256, or with "auto" one over those of all."""
    sums = [model.sha256 for model in find_models(name_or_folder)]
    return sums[0] if name_or_folder != AUTO else hashlib.sha256(" ".join([AUTO, *sums]).encode()).hexdigest()


def find_model(name_or_folder: str | Path) -> Model:
    """Find a shipped model by its name, or any learned model by its folder.

    Raises:
        InputError: neither a known name nor a folder, or a folder whose files are missing or damaged.
    """
    return _find_learned(name_or_folder)


def _find_learned(name_or_folder: str | Path, also: tuple[str, ...] = ()) -> Model:
    """`also` are names that the caller accepts besides."""
    if name_or_folder in _names():
        return _open_model(WEIGHTS / name_or_folder)
    folder = Path(name_or_folder)
    if not folder.is_dir():
        accepted = ", ".join([*_names(), *also, "a folder written by invertfill export"])
        raise InputError(f"{name_or_folder}: unknown model; accepted: {accepted}")
    return _open_model(folder)


def sha256_of(path: Path) -> str:
    """Hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS beside ``FILES``."""
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in FILES]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def _names() -> list[str]:
    return sorted(path.parent.name for path in WEIGHTS.glob("*/model.safetensors"))


def _patchmatch() -> list[AnyModel]:
    """The one, or none where its native part is missing: there are wheels for common systems only."""
    try:
        import patchmatch
    except ImportError:
        return []
    import importlib.metadata

    return [PatchMatch(importlib.metadata.version("pypatchmatch"))] if patchmatch.patchmatch_available else []


def _open_model(folder: Path) -> Model:
    missing = [name for name in (*FILES, SUMS) if not (folder / name).is_file()]
    if missing:
        accepted = "a folder written by invertfill export"
        raise InputError(f"{folder}: no model folder: {', '.join(missing)} missing; accepted: {accepted}")
    path = folder / FILES[0]
    try:
        header, begin = _read_header(path)
        metadata = header.pop("__metadata__")
        config, provenance = json.loads(metadata["config"]), json.loads(metadata.get("provenance", "{}"))
        tensors = {
            name: (DTYPES[entry["dtype"]], tuple(entry["shape"]), begin + entry["data_offsets"][0])
            for name, entry in header.items()
        }
        model = Model(folder.resolve().name, folder, config, dict(provenance), path.stat().st_size, tensors)
        end = begin + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != model.bytes:
            raise ValueError(f"{model.bytes} bytes long, where its header says {end}")
        if model.size <= 0:
            raise ValueError(f"size {model.size}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: damaged weights ({reason}); accepted: a file written by invertfill export") from None
    return model


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the data begin, in bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= HEADER_LIMIT:
            raise ValueError("no safetensors header")
        return json.loads(file.read(length)), 8 + length
