"""Names -> models, with what is known about each: size, licence, origin, SHA-256.

A model folder is what ``invertfill export`` writes (see export.py). What is said about a model is read from the header
of its model.safetensors: 8 bytes of length (little-endian), then JSON, whose "__metadata__" holds the model's config
and provenance as JSON strings. The shipped folders lie in ``weights/``. Beside these learned models there is
PatchMatch, which has learned nothing, and "auto", which stands for the general models and that of portraits.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invertfill.errors import InputError
from invertfill.options import AUTO

if TYPE_CHECKING:
    import numpy as np

PATCHMATCH = "patchmatch"
FORMER_NAMES = ("exemplar",)  # of PatchMatch
PATCH = 3  # radius in pixels of the patches that it compares
GENERAL = ("scenery-256", "photos-512")  # what "auto" fills with, but faces, by size
NO_PATCHMATCH = "PyPatchMatch can't be loaded here"
WEIGHTS = Path(__file__).parent / "weights"
DOMAIN = "domain.npz"
NOISE = "rgb_branch.noise.pixels"
FILES = ("model.safetensors", "fill.onnx", "mapping.onnx", "synthesis.onnx", DOMAIN)
SUMS = "SHA256SUMS"  # of FILES, as sha256sum writes and checks it
FACE_DETECTOR = WEIGHTS / "blazeface" / "face_detection_back_256x256.onnx"
HEADER_LIMIT = 100_000_000  # bytes, of the safetensors format
DTYPES = {"F16": "<f2", "F32": "<f4", "I64": "<i8"}  # safetensors -> NumPy: the types that export writes


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model before it is loaded.

    Attributes:
        name: the folder's, or "patchmatch".
        size: side s in pixels of what the model sees and draws.
        domain: what it has learned to draw.
        licence, source: of the weights; where they come from.
        bytes: length of the weights.
        sha256: of the weights, hex, as SHA256SUMS has it; `verify` compares.
        z_dim: entries of z.
        guesses_z: its encoder says which z the known pixels allow.
        mean_latent_samples: K of Sec. 3.2 for seeds other than 0: their mean latent is the mean of this many mapped z.
        blend: how its fills meet the known pixels: a key of `invertfill.pipeline.blending.BLENDS`.
        aligned: it has learned whole pictures of one composition only, and knows nothing of their parts.
        early: its training isn't at its end.
        folder: holds ``FILES`` and ``SUMS``; None for PatchMatch, which has no weights.
        config: what the network is built from.
        tensors: name -> (NumPy dtype, shape, offset in bytes from the start of model.safetensors).
    """

    name: str
    size: int
    domain: str = "unknown"
    licence: str = "unknown"
    source: str = "unknown"
    bytes: int = 0
    sha256: str = ""
    z_dim: int = 1
    guesses_z: bool = False
    mean_latent_samples: int = 8
    blend: str = "membrane"
    aligned: bool = False
    early: bool = False
    folder: Path | None = None
    config: dict[str, Any] = field(default_factory=dict, repr=False)
    tensors: dict[str, tuple[str, tuple[int, ...], int]] = field(default_factory=dict, repr=False)

    def file(self, name: str) -> Path:
        """One of ``FILES``."""
        assert self.folder is not None, f"{self.name} has no files"
        return self.folder / name

    @cached_property
    def w_mean(self) -> np.ndarray:
        """(D,) float32, the long-run mean latent; (1,), a seed, for PatchMatch."""
        import numpy as np

        return self.tensor("w_mean").astype(np.float32) if self.folder else np.zeros(1, np.float32)

    @cached_property
    def noise(self) -> np.ndarray | None:
        """What the texture of fills is drawn from, (1, s, s) float32; None for a model without."""
        return self.tensor(NOISE)[0].astype("float32") if NOISE in self.tensors else None

    def verify(self) -> None:
        """Compare every file with its sum.

        Raises:
            InputError: a file isn't what the folder was written with.
        """
        lines = read_sums(self.file(SUMS))
        for name in FILES:
            if lines.get(name) != sha256_of(self.file(name)):
                raise InputError(f"{self.file(name)}: damaged: its SHA-256 isn't the one in {SUMS}")

    def tensor(self, name: str) -> np.ndarray:
        """One tensor of model.safetensors, in the precision that it is stored in.

        Raises:
            InputError: there is no tensor of that name.
        """
        import numpy as np

        path = self.file(FILES[0])
        if name not in self.tensors:
            raise InputError(f"{path}: holds no {name!r}; accepted: the weights of a whole model")
        dtype, shape, offset = self.tensors[name]
        return np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)


def list_models() -> list[ModelInfo]:
    """All that is installed: the shipped models by name, then PatchMatch where it can be loaded."""
    return [*(_read_info(WEIGHTS / name) for name in _names()), *_patchmatch()]


def find_models(name_or_folder: str | Path) -> list[ModelInfo]:
    """What a name stands for: "auto" for the general models, those of aligned portraits, and PatchMatch; else
    `find_model`'s one.

    The general models are those of ``GENERAL`` that are installed, or else the first by name that knows no one
    composition only.

    Raises:
        InputError: see `find_model`; or nothing is installed.
    """
    if name_or_folder != AUTO:
        return [find_model(name_or_folder)]
    models = {model.name: model for model in list_models()}
    aligned = [model for model in models.values() if model.aligned]
    general = [models[name] for name in GENERAL if name in models]
    others = [model for model in models.values() if not model.aligned and not model.early and model.folder]
    if not (found := [*(general or others[:1]), *aligned, *_patchmatch()]):
        raise InputError("no model ships with this installation; accepted: a model's folder")
    return found


def find_model(name_or_folder: str | Path) -> ModelInfo:
    """Find an installed model by its name, or any learned model by its folder.

    Raises:
        InputError: neither a known name nor a folder, or a folder whose files are missing or damaged.
    """
    if name_or_folder in (PATCHMATCH, *FORMER_NAMES):
        if not (found := _patchmatch()):
            raise InputError(f"{PATCHMATCH}: {NO_PATCHMATCH}; accepted: {', '.join([*_names(), 'a model folder'])}")
        return found[0]
    if name_or_folder in _names():
        return _read_info(WEIGHTS / name_or_folder)
    folder = Path(name_or_folder)
    if not folder.is_dir():
        accepted = ", ".join([*_names(), PATCHMATCH, "a folder written by invertfill export"])
        raise InputError(f"{name_or_folder}: unknown model; accepted: {accepted}")
    return _read_info(folder)


def fingerprint(name_or_folder: str | Path) -> str:
    """Of all weights that a name stands for, hex: equal fingerprints fill alike."""
    sums = [model.sha256 for model in find_models(name_or_folder)]
    if name_or_folder != AUTO:
        return sums[0]
    detector = read_sums(FACE_DETECTOR.with_name(SUMS))[FACE_DETECTOR.name]
    return hashlib.sha256(" ".join([AUTO, *sums, detector]).encode()).hexdigest()


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


def _patchmatch() -> list[ModelInfo]:
    """The one, or none where its native part is missing: there are wheels for common systems only."""
    try:
        import patchmatch
    except ImportError:
        return []
    if not patchmatch.patchmatch_available:
        return []
    version = patchmatch.__version__
    return [
        ModelInfo(
            PATCHMATCH,
            256,
            domain="what the rest of the picture shows: textures, grounds, anything that repeats",
            licence="MIT",
            source=f"PyPatchMatch {version}; nothing was learned",
            # Of what its fills depend on: there are no weights.
            sha256=hashlib.sha256(f"PyPatchMatch {version}, patches of radius {PATCH}".encode()).hexdigest(),
        )
    ]


def _read_info(folder: Path) -> ModelInfo:
    missing = [name for name in (*FILES, SUMS) if not (folder / name).is_file()]
    if missing:
        accepted = "a folder written by invertfill export"
        raise InputError(f"{folder}: no model folder: {', '.join(missing)} missing; accepted: {accepted}")
    path = folder / FILES[0]
    try:
        header, begin = read_header(path)
        metadata, length = header.pop("__metadata__"), path.stat().st_size
        config, about = json.loads(metadata["config"]), dict(json.loads(metadata.get("provenance", "{}")))
        tensors = {
            name: (DTYPES[entry["dtype"]], tuple(entry["shape"]), begin + entry["data_offsets"][0])
            for name, entry in header.items()
        }
        end = begin + max((entry["data_offsets"][1] for entry in header.values()), default=0)
        if end != length:
            raise ValueError(f"{length} bytes long, where its header says {end}")
        generator, z_dim = config["generator"], int(config.get("encoder", {}).get("z_dim", 0))
        model = ModelInfo(
            folder.resolve().name,
            int(generator["size"]),
            **{key: str(about[key]) for key in ("domain", "licence", "source") if key in about},
            bytes=length,
            sha256=read_sums(folder / SUMS).get(FILES[0], ""),
            z_dim=z_dim or int(generator.get("latent_dim", 512)),
            guesses_z=bool(z_dim),
            mean_latent_samples=int(about.get("mean_latent_samples", ModelInfo.mean_latent_samples)),
            blend=str(config.get("blend", "membrane")),
            aligned=bool(about.get("aligned", False)),
            early=bool(about.get("early", False)),
            folder=folder,
            config=config,
            tensors=tensors,
        )
        if model.size <= 0:
            raise ValueError(f"size {model.size}")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise InputError(f"{path}: damaged weights ({reason}); accepted: a file written by invertfill export") from None
    return model


def read_sums(path: Path) -> dict[str, str]:
    """File name -> SHA-256, hex, as `write_sums` wrote them."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where the data begin, in bytes."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= HEADER_LIMIT:
            raise ValueError("no safetensors header")
        return json.loads(file.read(length)), 8 + length
