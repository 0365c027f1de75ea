"""The field's metrics on the composite, and how far a raw output is off on the pixels that are known.

Tensors are float (N, 3, H, W), RGB in [-1, 1], and checked to be; what takes 8-bit pictures, (H, W, 3), says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from invertfill.errors import InputError
from invertfill.evaluation.cache import code_version
from invertfill.losses import inception, lpips
from invertfill.losses.lpips import LPIPS, LpipsName
from invertfill.losses.weights import find_weights, hash_weights

BEST_PSNR = 100.0  # dB: of equal pictures, which have no finite one; a mean stays a number
LEAST_SIDE = 32  # pixels: of LPIPS, whose fifth stage sees 1/16
LEAST_FOR_FID = 50  # pictures; already far too few to compare with figures of thousands


@dataclass(frozen=True)
class Metric:
    """What a table says of a metric.

    Attributes:
        label: short name.
        better: "higher", "lower" or "nearer to 0".
        decimals: that are shown.
        what: one sentence.
    """

    label: str
    better: str
    decimals: int
    what: str

    @property
    def head(self) -> str:
        """Of a column in a table: the label, and where it is better."""
        return f"{self.label} {ARROWS[self.better]}"

    def worth(self, value: float) -> float:
        """The higher, the better."""
        return value if self.better == "higher" else -abs(value)


ARROWS = {"higher": "↑", "lower": "↓", "nearer to 0": "→ 0"}
METRICS = {
    "lpips_alex": Metric("LPIPS alex", "lower", 4, "LPIPS v0.1, AlexNet, of the composite"),
    "lpips_vgg": Metric("LPIPS vgg", "lower", 4, "LPIPS v0.1, VGG16, of the composite"),
    "ssim": Metric(
        "SSIM",
        "higher",
        4,
        "11x11 Gaussian, sigma 1.5, windows inside the picture, mean of the channels, of the composite",
    ),
    "psnr": Metric("PSNR dB", "higher", 2, f"of the composite; {BEST_PSNR:.0f} where it equals the original"),
    "known_colour": Metric(
        "colour gap", "lower", 2, "raw output: mean absolute difference on the known pixels, in levels of 255"
    ),
    "border_jump": Metric(
        "border jump",
        "nearer to 0",
        2,
        "raw output put into the hole as it is: mean jump of the gradient across the border less that of the "
        "original, in levels of 255; 0 is no more of a seam than the original has",
    ),
}
SOURCES = ("evaluation/metrics.py", "losses/inception.py", "losses")
RAW = ("known_colour", "border_jump")
LPIPS_NETS: dict[str, LpipsName] = {"lpips_alex": "alex", "lpips_vgg": "vgg"}
WEIGHTS: dict[str, tuple[str, ...]] = {
    **{name: lpips.WEIGHTS[net] for name, net in LPIPS_NETS.items()},
    "fid": (inception.WEIGHTS,),
}


def check_pair(a: Tensor, b: Tensor) -> None:
    """Raise InputError unless both are (N, 3, H, W), of one shape, floating-point, finite and within [-1, 1]."""
    for name, x in (("first", a), ("second", b)):
        if x.ndim != 4 or x.shape[1] != 3 or not x.shape[0] or min(x.shape[2:]) < LEAST_SIDE:
            accepted = f"(N, 3, H, W), H and W at least {LEAST_SIDE}"
            raise InputError(f"{name} pictures of shape {tuple(x.shape)}; accepted: {accepted}")
        if not x.is_floating_point():
            raise InputError(f"{name} pictures of type {x.dtype}; accepted: floating-point, in [-1, 1]")
        low, high = x.min().item(), x.max().item()
        if not -1 - 1e-4 <= low <= high <= 1 + 1e-4:  # NaN fails too
            raise InputError(f"{name} pictures in [{low:g}, {high:g}]; accepted: finite, in [-1, 1]")
    if a.shape != b.shape:
        raise InputError(f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}; accepted: one shape")


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair in dB, at most ``BEST_PSNR``: (N,)."""
    check_pair(a, b)
    # torchmetrics works on batches as a whole unless told which axes are one picture.
    value = peak_signal_noise_ratio(a, b, data_range=(-1.0, 1.0), reduction="none", dim=(1, 2, 3))
    return value.clamp(max=BEST_PSNR)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each pair (Wang et al. 2004), mean of the channels: (N,).

    As in the paper's own implementation and scikit-image's, the mean is over the windows that lie inside the picture.
    """
    check_pair(a, b)
    # torchmetrics' own mean takes in the windows over its mirrored border.
    _, similarity = structural_similarity_index_measure(
        (a + 1) / 2, (b + 1) / 2, sigma=1.5, kernel_size=11, data_range=1.0, reduction="none", return_full_image=True
    )
    margin = 11 // 2
    return similarity[..., margin:-margin, margin:-margin].mean(dim=(1, 2, 3))


def known_colour(raw: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """Mean absolute difference on the known pixels, in levels of 255: how far a raw output is off where it needn't be.

    Args:
        raw, truth: (H, W, 3) uint8.
        hole: (H, W) bool.

    Returns:
        0 where nothing differs; NaN where nothing is known.
    """
    if hole.all():
        return float("nan")
    return float(np.abs(raw[~hole].astype(np.float64) - truth[~hole]).mean())


def border_jump(raw: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """How much of a seam a raw output leaves if it is put into the hole as it is, in levels of 255.

    Along each row and column that crosses the border, for known pixels a, b and hole pixels c, d in line, the jump is
    |(c - b) - ((b - a) + (d - c)) / 2|: the step across the border less the slope on both sides of it. The result is
    its mean less the same of the original picture: about 0 for the original, large for a patch of another colour,
    below 0 for a fill smoother than the original.

    Args:
        raw, truth: (H, W, 3) uint8.
        hole: (H, W) bool.

    Returns:
        NaN where no two known pixels meet two of the hole.
    """
    pasted = np.where(hole[..., None], raw, truth).astype(np.float64)
    original = truth.astype(np.float64)
    differences = []
    for axis in (0, 1):
        a, b, c, d = _in_line(hole, axis)
        border = (a == b) & (c == d) & (b != c)
        differences.append((_jump(pasted, axis) - _jump(original, axis))[border])
    found = np.concatenate(differences)
    return float(found.mean()) if found.size else float("nan")


def _in_line(array: np.ndarray, axis: int) -> list[np.ndarray]:
    """Each four neighbours along an axis."""
    moved = np.moveaxis(array, axis, 0)
    return [moved[i : len(moved) - 3 + i] for i in range(4)]


def _jump(picture: np.ndarray, axis: int) -> np.ndarray:
    a, b, c, d = _in_line(picture, axis)
    jump: np.ndarray = np.abs((c - b) - ((b - a) + (d - c)) / 2)
    return jump


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The Frechet distance of two sets of features, each taken as a Gaussian (Heusel et al. 2017, "FID").

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), with unbiased covariances. Of C = X^T X, the trace of the root is
    the sum of the singular values of X_a X_b^T: no root of a nearly singular matrix is taken.

    Args:
        a: (N, D), N at least 2.
        b: (M, D).

    Raises:
        InputError: other shapes, or values that aren't finite.
    """
    for features in (a, b):
        if features.ndim != 2 or len(features) < 2 or features.shape[1] != a.shape[-1]:
            raise InputError(f"features of shapes {a.shape} and {b.shape}; accepted: (N, D) and (M, D), N and M from 2")
        if not np.isfinite(features).all():
            raise InputError("features that aren't finite; accepted: finite ones")
    x, y = _centred(a), _centred(b)
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    shift = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    return float(shift @ shift + (x**2).sum() + (y**2).sum() - 2 * root)


def _centred(features: np.ndarray) -> np.ndarray:
    """X such that X^T X is the covariance."""
    x: np.ndarray = (features - features.mean(0, dtype=np.float64)) / (len(features) - 1) ** 0.5
    if len(x) > x.shape[1]:  # smaller, with the same X^T X
        x = np.asarray(np.linalg.qr(x, mode="r"))
    return x


def as_tensor(pictures: Sequence[np.ndarray]) -> Tensor:
    """(H, W, 3) uint8 each -> (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Meter:
    """All metrics, their networks loaded once, when they are first needed.

    Args:
        device: of torch.

    Attributes:
        missing: metric -> why it isn't measured: its weights aren't there.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.missing: dict[str, str] = {}
        for name, files in WEIGHTS.items():
            try:
                for file in files:
                    find_weights(file)
            except InputError as error:
                self.missing[name] = str(error)

    @cached_property
    def implementations(self) -> dict[str, str]:
        """Metric -> what computes it, with versions and hashes of weights."""
        torchmetrics = f"torchmetrics {version('torchmetrics')}"
        ours = code_version(*SOURCES)
        found = {"ssim": torchmetrics, "psnr": torchmetrics, **dict.fromkeys(RAW, ours)}
        for name, files in WEIGHTS.items():
            if name not in self.missing:
                found[name] = f"{ours}, weights {hash_weights(files)}"
        if "fid" in found:
            found["fid"] += f"; {inception.RESIZE}"
        return found

    @property
    def identity(self) -> str:
        """Values in a cache hold as long as this stays."""
        text = repr(sorted((name, by) for name, by in self.implementations.items() if name != "fid"))
        return hashlib.sha256(text.encode()).hexdigest()

    @torch.inference_mode()
    def measure(
        self,
        raws: Sequence[np.ndarray],
        composites: Sequence[np.ndarray],
        truths: Sequence[np.ndarray],
        holes: Sequence[np.ndarray],
    ) -> list[dict[str, float]]:
        """Of each picture, metric -> value: (H, W, 3) uint8 of one size each, holes (H, W) bool."""
        a, b = (as_tensor(pictures).to(self.device) for pictures in (composites, truths))
        columns = {"ssim": ssim(a, b), "psnr": psnr(a, b)}
        columns |= {name: net(a, b) for name, net in self._lpips.items()}
        values = [{name: float(column[i]) for name, column in columns.items()} for i in range(len(truths))]
        for value, *pictures in zip(values, raws, truths, holes, strict=True):
            value["known_colour"] = known_colour(*pictures)
            value["border_jump"] = border_jump(*pictures)
        return values

    @torch.inference_mode()
    def features(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Of FID: (H, W, 3) uint8 each -> (N, 2048) float32.

        Raises:
            InputError: the network's weights aren't there.
        """
        x = torch.stack([inception.prepare(picture) for picture in pictures]).to(self.device)
        features: np.ndarray = self._inception(x).cpu().numpy()
        return features

    # Networks are loaded when they are first needed: what comes from a cache needs none.
    @cached_property
    def _lpips(self) -> dict[str, LPIPS]:
        return {name: LPIPS(net).to(self.device) for name, net in LPIPS_NETS.items() if name not in self.missing}

    @cached_property
    def _inception(self) -> inception.Inception:
        return inception.Inception().to(self.device)
