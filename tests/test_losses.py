"""Each loss against a direct NumPy computation, and the feature networks against upstream's figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file as load_numpy
from torch import Tensor

from invertfill.losses import inpainting as losses
from invertfill.losses.features import FeatureNet, alexnet, vgg16
from invertfill.losses.lpips import LPIPS, lpips
from invertfill.losses.weights import find_weights

Array = np.ndarray

SEED, COUNT, SIDE = 0, 2, 32


def features(image: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """A stand-in for VGG16 that NumPy can follow: three fixed maps of the image."""
    assert tuple(taps) == losses.PERCEPTUAL_TAPS
    return [image, image[:, :2].square(), image[:, :, ::2, ::2] * image[:, 1:2, ::2, ::2]]


def features_np(image: Array) -> list[Array]:
    return [image, image[:, :2] ** 2, image[:, :, ::2, ::2] * image[:, 1:2, ::2, ::2]]


def perceptual_np(a: Array, b: Array) -> float:
    return sum(np.abs(x - y).mean() for x, y in zip(features_np(a), features_np(b), strict=True))


def gram_np(maps: Array) -> Array:
    _, c, h, w = maps.shape
    return np.einsum("nchw,ndhw->ncd", maps, maps) / (c * h * w)


def style_np(a: Array, b: Array) -> float:
    return sum(np.abs(gram_np(x) - gram_np(y)).mean() for x, y in zip(features_np(a), features_np(b), strict=True))


def tv_np(image: Array) -> float:
    return float(np.abs(np.diff(image, axis=2)).mean() + np.abs(np.diff(image, axis=3)).mean())


def inpainting_np(output: Array, target: Array, mask: Array) -> dict[str, float]:
    output, target = (output + 1) / 2, (target + 1) / 2
    both = np.where(mask > 0, output, target)
    return {
        "valid": float((np.abs(output - target) * (mask == 0)).mean()),
        "hole": float((np.abs(output - target) * (mask == 1)).mean()),
        "perceptual": perceptual_np(output, target) + perceptual_np(both, target),
        "style": style_np(output, target) + style_np(both, target),
        "tv": tv_np(both),
    }


def msr_np(rgb: list[Array], target: Array) -> dict[str, float]:
    terms = {"msr_perceptual": 0.0, "msr_style": 0.0, "msr_rec": 0.0}
    for image in rgb:
        step = SIDE // image.shape[2]
        small = target.reshape(COUNT, 3, SIDE // step, step, SIDE // step, step).mean(axis=(3, 5))
        found, wanted = (image + 1) / 2, (small + 1) / 2
        terms["msr_perceptual"] += perceptual_np(found, wanted)
        terms["msr_style"] += style_np(found, wanted)
        terms["msr_rec"] += float(((found - wanted) ** 2).mean())
    return terms


RFR = {"valid": 1, "hole": 6, "perceptual": 0.05, "style": 120, "tv": 0.1}
MSR = {"msr_perceptual": 0.05, "msr_style": 120, "msr_rec": 1}


@pytest.fixture
def batch() -> dict[str, Array]:
    rng = np.random.default_rng(SEED)
    image = rng.uniform(-1, 1, (3, COUNT, 3, SIDE, SIDE))
    return {
        "output": image[0],
        "target": image[1],
        "mask": (rng.uniform(size=(COUNT, 1, SIDE, SIDE)) < 0.4).astype(float),
        "w_plus": rng.normal(size=(COUNT, 6, 12)),
        "w_mean": rng.normal(size=(1, 12)),
    }


@pytest.fixture
def rgb() -> list[Array]:
    rng = np.random.default_rng(SEED + 1)
    return [rng.uniform(-1, 1, (COUNT, 3, side, side)) for side in (8, 16, 32)]


def tensors(batch: dict[str, Array]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value).float() for name, value in batch.items()}


def check(terms: dict[str, Tensor], expected: dict[str, float]) -> None:
    assert set(terms) == set(expected)
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value, rel=1e-4), name


def weighted(terms: dict[str, float], weights: dict[str, float]) -> float:
    return sum(weights[name] * value for name, value in terms.items())


def test_eq4_inpainting(batch: dict[str, Array]) -> None:
    t = tensors(batch)
    total, terms = losses.inpainting_loss(t["output"], t["target"], t["mask"], features)
    expected = inpainting_np(batch["output"], batch["target"], batch["mask"])
    check(terms, expected)
    assert total.item() == pytest.approx(weighted(expected, RFR), rel=1e-4)


def test_eq4_as_the_paper_s_text_has_it(batch: dict[str, Array]) -> None:
    """Perceptual, style and TV of O_G alone."""
    t = tensors(batch)
    total, terms = losses.inpainting_loss(
        t["output"], t["target"], t["mask"], features, losses.LossWeights(composite=False)
    )
    output, target = (batch["output"] + 1) / 2, (batch["target"] + 1) / 2
    expected = inpainting_np(batch["output"], batch["target"], batch["mask"]) | {
        "perceptual": perceptual_np(output, target),
        "style": style_np(output, target),
        "tv": tv_np(output),
    }
    check(terms, expected)
    assert total.item() == pytest.approx(weighted(expected, RFR), rel=1e-4)


def test_eq4_terms_alone(batch: dict[str, Array]) -> None:
    output, target, mask = (tensors(batch)[name] for name in ("output", "target", "mask"))
    difference = np.abs(batch["output"] - batch["target"])
    assert losses.valid_loss(output, target, mask).item() == pytest.approx((difference * (1 - batch["mask"])).mean())
    assert losses.hole_loss(output, target, mask).item() == pytest.approx((difference * batch["mask"]).mean())
    assert losses.tv_loss(output).item() == pytest.approx(tv_np(batch["output"]))
    maps = [features(image, losses.PERCEPTUAL_TAPS) for image in (output, target)]
    assert losses.perceptual_loss(*maps).item() == pytest.approx(perceptual_np(batch["output"], batch["target"]))
    assert losses.style_loss(*maps).item() == pytest.approx(style_np(batch["output"], batch["target"]), rel=1e-5)
    combined = losses.composite(output, target, mask)
    assert torch.equal(combined, torch.where(mask > 0, output, target))


def test_eq5_multi_scale(batch: dict[str, Array], rgb: list[Array]) -> None:
    images = [torch.from_numpy(image).float() for image in rgb]
    total, terms = losses.msr_loss(images, tensors(batch)["target"], features)
    expected = msr_np(rgb, batch["target"])
    check(terms, expected)
    assert total.item() == pytest.approx(weighted(expected, MSR), rel=1e-4)


def test_eq6_fidelity(batch: dict[str, Array]) -> None:
    t = tensors(batch)
    expected = ((batch["w_plus"] - batch["w_mean"][:, None]) ** 2).mean()
    assert losses.fidelity_loss(t["w_plus"], t["w_mean"]).item() == pytest.approx(expected)
    each = t["w_mean"].expand(COUNT, -1)  # a mean latent of each image's own
    assert losses.fidelity_loss(t["w_plus"], each).item() == pytest.approx(expected)


def test_eq7_total(batch: dict[str, Array], rgb: list[Array]) -> None:
    t = tensors(batch)
    images = [torch.from_numpy(image).float() for image in rgb]
    arguments = (t["output"], images, t["w_plus"], t["w_mean"], t["target"], t["mask"], features)
    total, terms = losses.total_loss(*arguments, losses.LossWeights(msr=0.3, fid=0.7))
    ipt, msr = inpainting_np(batch["output"], batch["target"], batch["mask"]), msr_np(rgb, batch["target"])
    fid = float(((batch["w_plus"] - batch["w_mean"][:, None]) ** 2).mean())
    check(terms, ipt | msr | {"fid": fid})
    assert total.item() == pytest.approx(weighted(ipt, RFR) + 0.3 * weighted(msr, MSR) + 0.7 * fid, rel=1e-4)
    total, terms = losses.total_loss(*arguments, losses.LossWeights(msr=0, fid=0))
    assert set(terms) == set(ipt) and total.item() == pytest.approx(weighted(ipt, RFR), rel=1e-4)


def test_gradient_of_the_total(batch: dict[str, Array], rgb: list[Array]) -> None:
    t = tensors(batch)
    images = [torch.from_numpy(image).float().requires_grad_() for image in rgb]
    t["output"].requires_grad_()
    t["w_plus"].requires_grad_()
    net = vgg16(pretrained=False)
    total, _ = losses.total_loss(t["output"], images, t["w_plus"], t["w_mean"], t["target"], t["mask"], net)
    total.backward()
    for tensor in (t["output"], t["w_plus"], *images):
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in net.parameters())


def test_gram_stays_in_full_precision() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 4, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert losses.gram(maps).dtype == torch.float32
        np.testing.assert_allclose(losses.gram(maps).numpy(), gram_np(maps.numpy()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("build", "layer", "shape"),
    [(vgg16, 4, (64, 32, 32)), (vgg16, 9, (128, 16, 16)), (vgg16, 16, (256, 8, 8)), (alexnet, 11, (256, 3, 3))],
)
def test_taps_are_torchvision_layers(build: type[FeatureNet], layer: int, shape: tuple[int, ...]) -> None:
    (tap,) = build(pretrained=False)(torch.zeros(1, 3, 64, 64), [layer])
    assert tap.shape[1:] == shape


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_differentiable_even_where_features_are_zero(net: str) -> None:
    module = LPIPS(net, pretrained=False)  # type: ignore[arg-type]
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
    # The colour that LPIPS normalises to 0: every feature is 0 there.
    blank = (module.mean * 2 - 1).expand(1, 3, 64, 64).clone().requires_grad_()
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 64, 64, requires_grad=True)
    module(blank, noise).sum().backward()
    assert blank.grad is not None and blank.grad.isfinite().all()
    assert noise.grad is not None and noise.grad.isfinite().all() and noise.grad.abs().sum() > 0
    assert module(noise, noise).item() == 0


@pytest.mark.parametrize(
    ("net", "picture", "expected"),
    [("alex", "ex_p0", 0.721881), ("alex", "ex_p1", 0.137566), ("vgg", "ex_p0", 0.568613), ("vgg", "ex_p1", 0.421664)],
)
def test_lpips_gives_upstreams_figures(
    shared: Path, monkeypatch: pytest.MonkeyPatch, net: str, picture: str, expected: float
) -> None:
    monkeypatch.setenv("INVERTFILL_WEIGHTS", str(shared / "weights"))

    def load(name: str) -> Tensor:
        pixels = np.array(Image.open(shared / "weights" / "lpips-example" / f"{name}.png").convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1

    distance = lpips(load("ex_ref"), load(picture), net)  # type: ignore[arg-type]
    assert distance.shape == (1,)
    assert distance.item() == pytest.approx(expected, abs=1e-4)


def conv_np(x: Array, weight: Array, bias: Array, stride: int, pad: int) -> Array:
    k = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(weight, windows, axes=((1, 2, 3), (0, 3, 4))) + bias[:, None, None]


def pool_np(x: Array, k: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(1, 2))[:, ::2, ::2].max(axis=(3, 4))


# Layers by their published lists: a convolution is its number, stride and padding; a pooling its side.
VGG16 = [(0, 1, 1), "r", (2, 1, 1), "r", 2, (5, 1, 1), "r", (7, 1, 1), "r", 2]
VGG16 += [(10, 1, 1), "r", (12, 1, 1), "r", (14, 1, 1), "r", 2]
ALEXNET = [(0, 4, 2), "r", 3, (3, 1, 2), "r", 3, (6, 1, 1), "r", (8, 1, 1), "r", (10, 1, 1), "r"]


@pytest.mark.parametrize(
    ("build", "name", "layers", "taps"),
    [(vgg16, "vgg16", VGG16, losses.PERCEPTUAL_TAPS), (alexnet, "alexnet", ALEXNET, (1, 4, 7, 9, 11))],
)
def test_features_against_numpy(
    need_weights: Callable[..., None], build: type[FeatureNet], name: str, layers: list[object], taps: tuple[int, ...]
) -> None:
    need_weights(f"{name}-features")
    file = load_numpy(find_weights(f"{name}-features"))
    image = np.random.default_rng(SEED).uniform(0, 1, (3, 64, 64))
    found = dict(zip(taps, build()(torch.from_numpy(image)[None].float(), taps), strict=True))
    x = image
    for index, layer in enumerate(layers):
        if isinstance(layer, tuple):
            number, stride, pad = layer
            x = conv_np(x, file[f"features.{number}.weight"], file[f"features.{number}.bias"], stride, pad)
        elif layer == "r":
            x = np.maximum(x, 0)
        else:
            x = pool_np(x, layer)  # type: ignore[arg-type]
        if index in found:
            np.testing.assert_allclose(found[index][0].numpy(), x, rtol=1e-3, atol=1e-4 * x.max())
