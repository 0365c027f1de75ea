"""Soft-update mean latent (Sec. 3.2)."""

from __future__ import annotations

import torch

from invertfill.training.mean_latent import MeanLatentConfig, SoftUpdateMeanLatent, long_run_mean

DIM = 16


def mapping(z: torch.Tensor) -> torch.Tensor:
    return 2 * z + 1


def latent(**kwargs: float) -> SoftUpdateMeanLatent:
    torch.manual_seed(0)
    return SoftUpdateMeanLatent(MeanLatentConfig.model_validate(kwargs), torch.zeros(DIM), DIM)


def test_arrives_at_the_target_which_is_then_drawn_anew() -> None:
    mean = latent(tau=0.1, tolerance=0.05)
    w_o = mean.step(mapping)
    target = mean.w_t.clone()
    distances = [float((w_o - target).norm())]
    steps = 1
    while not mean.arrived:
        assert torch.equal(mean.w_t, target)  # fixed on the way
        distances.append(float((mean.step(mapping) - target).norm()))
        steps += 1
    # 0.9^28 = 0.052 of the way is left after 28 steps, 0.047 after 29.
    assert steps == 29
    assert distances == sorted(distances, reverse=True) and torch.equal(mean.w_o, target)
    mean.step(mapping)
    assert not torch.equal(mean.w_t, target) and not mean.arrived


def test_one_step_is_the_weighted_mean() -> None:
    mean = latent(tau=0.25)
    w_o = mean.step(mapping)
    torch.testing.assert_close(w_o, 0.25 * mean.w_t[None] + 0.75 * torch.zeros(1, DIM))


def test_target_is_the_mean_of_k_mapped_latents() -> None:
    mean = latent(samples=5, tau=0.5)
    torch.manual_seed(3)
    mean.step(mapping)
    torch.manual_seed(3)
    torch.testing.assert_close(mean.w_t, mapping(torch.randn(5, DIM)).mean(0))


def test_stays_put_at_tau_0() -> None:
    start = torch.randn(DIM)
    mean = SoftUpdateMeanLatent(MeanLatentConfig(tau=0), start, DIM)
    for _ in range(5):
        assert torch.equal(mean.step(mapping), start[None])


def test_tau_1_jumps_from_target_to_target() -> None:
    mean = latent(tau=1.0)
    first = mean.step(mapping)
    assert mean.arrived
    assert not torch.equal(mean.step(mapping), first)


def test_goes_on_from_its_state_dict() -> None:
    one, other = latent(tau=0.3), latent(tau=0.3)
    for _ in range(3):
        one.step(mapping)
    other.load_state_dict(one.state_dict())
    for step in range(12):
        torch.manual_seed(step)
        a = one.step(mapping)
        torch.manual_seed(step)
        assert torch.equal(a, other.step(mapping))


def test_long_run_mean_is_the_mapping_s_mean_and_repeatable() -> None:
    mean = long_run_mean(mapping, DIM)
    assert torch.equal(mean, long_run_mean(mapping, DIM))
    assert float((mean - 1).abs().max()) < 5 * 2 / 128  # five standard errors of 16,384 draws of deviation 2
