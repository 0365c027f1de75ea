"""The generator and discriminator of nn/generators/stylegan2.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from invertfill.nn.generators.stylegan2 import (
    DiscriminatorConfig,
    ModulatedConv,
    StyleGAN2Config,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
    minibatch_stddev,
)
from invertfill.nn.layers import Blur, upsample

SIZES = {64: 10, 128: 12, 256: 14, 512: 16, 1024: 18}


def tiny(size: int = 32) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Config(size=size, channel_base=256, channel_max=16, mapping_layers=2, latent_dim=24).build()


def w_plus(generator: StyleGAN2Generator, count: int = 2) -> Tensor:
    return torch.randn(count, generator.num_layers, generator.latent_dim)


@pytest.mark.parametrize(("size", "layers"), SIZES.items())
def test_every_size_builds_and_runs(size: int, layers: int) -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Config(
        size=size, channel_base=size * 2, channel_max=8, mapping_layers=1, latent_dim=16
    ).build()
    assert generator.num_layers == layers
    assert generator.levels == (0,) * 3 + (1,) * 4 + (2,) * (layers - 7)
    assert list(generator.feature_channels) == [2**i for i in range(2, size.bit_length())]
    with torch.no_grad():
        image = generator.synthesis(w_plus(generator, 1))
        assert image.shape == (1, 3, size, size)
        assert image.isfinite().all()
        logits = StyleGAN2Discriminator(DiscriminatorConfig(channel_base=size * 2, channel_max=8), size)(image)
    assert logits.shape == (1,)


@pytest.mark.parametrize("size", [0, 4, 100, 255])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1024"):
        StyleGAN2Config(size=size)


def test_paper_and_compact_channels() -> None:
    with torch.device("meta"):
        paper, compact = StyleGAN2Config().build(), StyleGAN2Config(channel_base=8192, channel_max=256).build()
    assert paper.feature_channels == {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}
    synthesis = sum(p.numel() for name, p in compact.named_parameters() if not name.startswith("mapping"))
    assert synthesis == pytest.approx(6.6e6, rel=0.01)


def test_each_layer_takes_its_own_style() -> None:
    generator = tiny(64)
    styles = w_plus(generator, 1).requires_grad_()
    generator.synthesis(styles).square().sum().backward()
    assert styles.grad is not None
    assert (styles.grad.norm(dim=2) > 0).all()


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_modulated_conv_equals_the_grouped_form(demodulate: bool, up: bool) -> None:
    torch.manual_seed(0)
    count, channels, out, side = 3, 5, 7, 6
    conv = ModulatedConv(channels, out, 3, 16, demodulate=demodulate, up=up)
    x, w = torch.randn(count, channels, side, side), torch.randn(count, 16)

    style = conv.affine(w).view(count, 1, channels, 1, 1)
    weight = style * conv.weight / (channels * 9) ** 0.5  # (N, out, C, 3, 3): weights of each image's own
    if demodulate:
        weight = weight / (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    grouped = x.reshape(1, count * channels, side, side)
    if up:
        weight = weight.transpose(1, 2).reshape(count * channels, out, 3, 3)
        wide = F.conv_transpose2d(grouped, weight, stride=2, groups=count)
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])  # the filter on zero-stuffed pixels, of sum 2 each way
        kernel = torch.outer(line, line).expand(count * out, 1, 4, 4)
        expected = F.conv2d(wide, kernel, padding=1, groups=count * out)
    else:
        expected = F.conv2d(grouped, weight.reshape(count * out, channels, 3, 3), padding=1, groups=count)
    expected = expected.view(count, out, side * (2 if up else 1), -1)

    torch.testing.assert_close(conv(x, w), expected, rtol=1e-4, atol=1e-5)


def test_zero_features_change_nothing_and_others_do() -> None:
    generator = tiny()
    styles = w_plus(generator)
    plain = generator.synthesis(styles)
    features = {r: torch.zeros(2, c, r, r) for r, c in generator.feature_channels.items()}
    assert torch.equal(generator.synthesis(styles, features), plain)
    for r, zeros in features.items():
        assert not torch.equal(generator.synthesis(styles, {**features, r: zeros + 1}), plain), r


def test_gradient_reaches_features() -> None:
    generator = tiny()
    features = {r: torch.zeros(1, c, r, r, requires_grad=True) for r, c in generator.feature_channels.items()}
    generator.synthesis(w_plus(generator, 1), features).square().sum().backward()
    for r, tensor in features.items():
        assert tensor.grad is not None and tensor.grad.abs().sum() > 0, r


def test_features_join_after_the_first_convolution() -> None:
    generator = tiny()
    seen: dict[str, Tensor] = {}
    block = generator.blocks[2]  # 16x16
    block.convs[0].register_forward_hook(lambda _module, _args, out: seen.update(first=out))
    block.convs[1].register_forward_pre_hook(lambda _module, args: seen.update(second=args[0]))
    added = torch.randn(1, generator.feature_channels[16], 16, 16)
    generator.synthesis(w_plus(generator, 1), {16: added})
    torch.testing.assert_close(seen["second"], seen["first"] + added)


def test_noise() -> None:
    generator = tiny()
    styles = w_plus(generator, 1)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
        assert torch.equal(generator.synthesis(styles), generator.synthesis(styles))
        assert not torch.equal(generator.synthesis(styles, noise="random"), generator.synthesis(styles, noise="random"))


def test_mapping_ignores_the_length_of_z() -> None:
    generator = tiny()
    z = torch.randn(4, generator.latent_dim)
    torch.testing.assert_close(generator.mapping(z), generator.mapping(7 * z), rtol=1e-4, atol=1e-5)
    torch.manual_seed(0)
    image = generator(z)
    w = generator.mapping(z)[:, None].expand(-1, generator.num_layers, -1)
    torch.testing.assert_close(image, generator.synthesis(w))


def test_filters_keep_a_constant_image() -> None:
    constant = torch.full((1, 2, 8, 8), 0.7)
    torch.testing.assert_close(upsample(constant), torch.full((1, 2, 16, 16), 0.7))
    stuffed = torch.zeros(1, 2, 16, 16)
    stuffed[..., ::2, ::2] = 0.7
    inside = Blur(2, padding=2, gain=4)(stuffed)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.7))
    inside = Blur(2, padding=1, stride=2)(constant)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


def test_upsample_is_the_1331_filter() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 8, 8)
    stuffed = torch.zeros(1, 1, 16, 16)
    stuffed[..., ::2, ::2] = x
    filtered = Blur(1, padding=2, gain=4)(stuffed)[..., :16, :16]  # pads 2 before, 1 after
    torch.testing.assert_close(upsample(x)[..., 1:-1, 1:-1], filtered[..., 1:-1, 1:-1])


def test_halving_has_the_gradients_of_the_convolution() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    blur = Blur(3, padding=1, gain=2, stride=2).double()
    plain = F.conv2d(x, blur.kernel.expand(3, 1, 4, 4), padding=1, stride=2, groups=3)
    assert torch.equal(blur(x), plain)
    towards = torch.randn_like(plain)
    expected, found = (torch.autograd.grad(y, x, towards)[0] for y in (plain, blur(x)))
    torch.testing.assert_close(found, expected)
    assert torch.autograd.gradgradcheck(blur, [x])


def test_minibatch_stddev() -> None:
    x = torch.tensor([0.0, 1.0, 4.0, 3.0]).view(4, 1, 1, 1).expand(4, 2, 4, 4)
    extra = minibatch_stddev(x, 2)[:, 2]  # groups (0, 2) and (1, 3)
    torch.testing.assert_close(extra[:, 0, 0], torch.tensor([2.0, 1.0, 2.0, 1.0]))
    assert minibatch_stddev(x[:3], 2)[:, 2].abs().max() < 1e-3  # no common divisor: groups of one


def test_onnx_export_with_any_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="torch's exporter needs the package onnx")
    runtime = pytest.importorskip("onnxruntime")
    generator = tiny().eval()

    class Synthesis(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.generator = generator

        def forward(self, styles: Tensor) -> Tensor:
            return self.generator.synthesis(styles)

    styles, path = w_plus(generator, 3), tmp_path / "synthesis.onnx"
    torch.onnx.export(
        Synthesis(),
        (styles[:2],),
        path,
        input_names=["w"],
        output_names=["image"],
        dynamic_axes={"w": {0: "n"}, "image": {0: "n"}},
        dynamo=False,
    )
    (image,) = runtime.InferenceSession(path).run(None, {"w": styles.numpy()})
    torch.testing.assert_close(torch.from_numpy(image), generator.synthesis(styles).detach(), rtol=1e-3, atol=1e-4)
