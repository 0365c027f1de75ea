"""The light generator of `faces-256` (nn/generators/mobilestylegan.py)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator, inverse_haar
from invertfill.nn.invertfill import InvertFillConfig


def tiny() -> MobileStyleGANGenerator:
    torch.manual_seed(0)
    return MobileStyleGANConfig(size=32, channels=(16, 16, 8, 8), latent_dim=12, mapping_layers=2).build()


def test_inverse_haar_undoes_a_haar_transform() -> None:
    picture = np.random.default_rng(0).standard_normal((2, 3, 8, 12)).astype("float32")
    a, b = picture[:, :, ::2, ::2], picture[:, :, ::2, 1::2]
    c, d = picture[:, :, 1::2, ::2], picture[:, :, 1::2, 1::2]
    bands = np.concatenate([a + b + c + d, a + b - c - d, a - b + c - d, a - b - c + d], 1) / 2
    back = inverse_haar(torch.from_numpy(bands)) / 2  # the network folds the factor into the modulation before
    assert back.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(back.numpy(), picture, rtol=0, atol=1e-6)


def test_shapes_and_levels_at_256() -> None:
    with torch.device("meta"):
        generator = MobileStyleGANConfig().build()
    assert generator.num_layers == len(generator.levels) == 20  # 4 px: 1, six sizes of 3, toRGB
    # 4 and 8 px coarse, 16 and 32 middle, 64 and up (with toRGB) fine
    assert generator.levels == (0,) * 4 + (1,) * 6 + (2,) * 10
    assert generator.feature_channels == {8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}
    assert sum(p.numel() for p in generator.parameters()) == 9_494_291


def test_every_style_vector_matters_and_pictures_are_independent() -> None:
    generator = tiny()
    w = torch.randn(2, generator.num_layers, 12)
    with torch.no_grad():
        before = generator.synthesis(w)
        assert before.shape == (2, 3, 32, 32)
        for layer in range(generator.num_layers):
            other = w.clone()
            other[1, layer] += 1
            after = generator.synthesis(other)
            assert not torch.allclose(after[1], before[1]), layer
            torch.testing.assert_close(after[0], before[0])


@pytest.mark.parametrize("resolution", [8, 16, 32])
def test_features_are_added_after_the_first_convolution(resolution: int) -> None:
    generator = tiny()
    seen: list[torch.Tensor] = []
    block = generator.blocks[[8, 16, 32].index(resolution)]
    block.conv2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    w = torch.randn(2, generator.num_layers, 12)
    feature = torch.randn(2, generator.feature_channels[resolution], resolution, resolution)
    with torch.no_grad():
        generator.synthesis(w)
        generator.synthesis(w, {resolution: feature})
    torch.testing.assert_close(seen[1] - seen[0], feature, rtol=0, atol=1e-5)


def test_mapping_is_pixel_norm_and_leaky_layers() -> None:
    generator = tiny()
    z = torch.randn(3, 12)
    x = z / z.square().mean(1, keepdim=True).sqrt()
    for layer in generator.map:
        x = F.leaky_relu(x @ layer.weight.T + layer.bias, 0.2) * 2**0.5
    torch.testing.assert_close(generator.mapping(z), x)
    torch.testing.assert_close(generator.mapping(5 * z), x)  # the length of z is no information


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="channel counts"):
        MobileStyleGANConfig(size=32, channels=(8, 8))
    with pytest.raises(ValueError, match="'random'"):
        tiny().synthesis(torch.zeros(1, 11, 12), noise="random")
    with pytest.raises(ValueError, match="'stylegan2', 'mobilestylegan'"):
        InvertFillConfig.model_validate({"generator": {"kind": "biggan"}})
