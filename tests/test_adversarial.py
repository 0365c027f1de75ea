"""The discriminator on frozen features: only the hole counts, and its losses are the hinge's."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from invertfill.losses.adversarial import FeatureDiscriminator, discriminator_loss, generator_loss


def test_only_positions_in_the_hole_count() -> None:
    share = torch.zeros(1, 1, 4, 4)
    share[..., :2] = 1
    real, fake = torch.full((1, 1, 4, 4), 0.25), torch.full((1, 1, 4, 4), -0.5)
    expected = (1 - 0.25) + (1 - 0.5)
    assert float(discriminator_loss([(real, share)], [(fake, share)])) == expected
    assert float(generator_loss([(fake, share)])) == 0.5
    real[..., 2:], fake[..., 2:] = -9, 9  # outside
    assert float(discriminator_loss([(real, share)], [(fake, share)])) == expected
    assert float(generator_loss([(fake, share), (fake, share)])) == 0.5 + 0.25  # each head half of the one before


def test_nothing_is_left_to_gain_beyond_the_margin() -> None:
    share = torch.ones(1, 1, 2, 2)
    assert float(discriminator_loss([(share * 3, share)], [(share * -3, share)])) == 0


def test_a_head_sees_map_and_mask_together() -> None:
    torch.manual_seed(0)
    judge = FeatureDiscriminator((8, 16), strided=1).eval()
    stages = [F.normalize(torch.rand(2, 8, 15, 15), dim=1), F.normalize(torch.rand(2, 16, 7, 7), dim=1)]
    mask = torch.zeros(2, 1, 64, 64)
    mask[..., 32:, :] = 1
    judged = judge(stages, mask)
    assert [tuple(logits.shape) for logits, _ in judged] == [(2, 1, 8, 8), (2, 1, 7, 7)]
    assert all(torch.isclose(share.mean(), torch.tensor(0.5), atol=0.05) for _, share in judged)
    for head, stage, (logits, _) in zip(judge.heads, stages, judged, strict=True):
        share = F.interpolate(mask, size=stage.shape[-2:], mode="area")
        torch.testing.assert_close(head(torch.cat([stage * stage.shape[1] ** 0.5, share], 1)), logits)
