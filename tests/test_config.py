"""Training configurations: every shipped file is read, and every mistake ends in one line that helps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from invertfill.errors import InputError
from invertfill.masks.names import KINDS
from invertfill.nn.generators.stylegan2 import StyleGAN2Discriminator
from invertfill.nn.invertfill import InvertFill
from invertfill.training.config import GanConfig, InversionConfig, load_config

CONFIGS = Path(__file__).parent.parent / "configs"
RECIPES = CONFIGS.parent / "recipes"
FILES = sorted([*CONFIGS.glob("*.yaml"), *RECIPES.glob("*/*.yaml")])


def named(path: Path) -> str:
    """The name of a file's runs: its own, and in a recipe the recipe's, alone for the training that it ends with."""
    if path.parent == CONFIGS:
        return path.stem
    return path.parent.name if path.stem == "train" else f"{path.parent.name}-{path.stem}"


def schema(path: Path) -> type[GanConfig] | type[InversionConfig]:
    return GanConfig if path.stem.endswith("-gan") else InversionConfig


def error(*overrides: str, path: Path = CONFIGS / "tiny-inversion.yaml") -> str:
    with pytest.raises(InputError) as caught:
        load_config(schema(path), path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_shipped_file_is_valid_and_named_after_itself(path: Path) -> None:
    config = load_config(schema(path), path)
    assert config.name == named(path) and config.out == Path("runs") / config.name
    assert config == schema(path).model_validate(config.model_dump(mode="json"))  # what a checkpoint keeps


def test_kinds_of_thin_masks_keep_their_coverage_unless_bounds_are_given() -> None:
    path = CONFIGS / "tiny-inversion.yaml"
    for given, bounds in (
        (["masks.kind=photo"], (0.0005, 0.95)),
        (["masks.kind=photo", "masks.low=0.2"], (0.2, 0.95)),
        (["masks.kind=freeform"], (0.1, 0.9)),
    ):
        masks = load_config(InversionConfig, path, given).masks
        assert (masks.low, masks.high) == bounds


def test_z_has_as_many_entries_for_the_encoder_as_for_the_generator() -> None:
    path = RECIPES / "photos-512" / "train.yaml"
    assert "encoder.z_dim" in error("model.encoder.z_dim=8", path=path)


def test_both_stages_of_a_family_have_the_same_generator() -> None:
    for family in ("paper-256", "compact-256", "tiny"):
        first = load_config(GanConfig, CONFIGS / f"{family}-gan.yaml")
        second = load_config(InversionConfig, CONFIGS / f"{family}-inversion.yaml")
        assert first.generator == second.model.generator


def test_overrides_reach_their_keys_with_yaml_types() -> None:
    changed = ["masks.low=0.5", "masks.high=0.6", "data.flip=false", "optimizer.lr=1e-3", "prior=a/b"]
    config = load_config(InversionConfig, CONFIGS / "tiny-inversion.yaml", changed)
    assert (config.masks.low, config.masks.high, config.data.flip) == (0.5, 0.6, False)
    assert config.optimizer.lr == 1e-3 and config.prior == Path("a/b")
    assert config.data.workers == 2  # its neighbours stay


def test_unknown_key_names_the_nearest_one_and_what_is_allowed_there() -> None:
    message = error("masks.hihg=0.5")
    assert "'masks.hihg'" in message and "'masks.high'" in message and "kind, low, high, pool" in message
    assert "tiny-inversion.yaml" in message


def test_unknown_key_whose_place_is_elsewhere() -> None:
    assert "'optimizer.lr'" in error("lr=1")
    assert "'mean_latent.tau'" in error("masks.tau=1")


def test_unknown_key_inside_a_generator_is_named_without_pydantic_s_tag() -> None:
    message = error("model.generator.chanel_base=4")
    assert "'model.generator.chanel_base'" in message and "'model.generator.channel_base'" in message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("precision=bf61", ["'precision' is 'bf61'", "'auto', 'fp32' or 'bf16'"]),
        ("masks.kind=boxes", ["'masks.kind' is 'boxes'", *map(repr, KINDS)]),
        ("masks.kind=objects", ["'masks'", "`outlines`"]),
        ("batch=0", ["'batch' is 0", "1"]),
        ("batch=many", ["'batch' is 'many'", "integer"]),
        ("mean_latent.tau=2", ["'mean_latent.tau' is 2", "1"]),
        ("masks.low=0.95", ["'masks'", "0.95", "0.9"]),
        ("model.generator.size=100", ["'model.generator.size' is 100", "64", "1024"]),
        ("model.generator.kind=stylegan3", ["model.generator", "stylegan3", "'stylegan2'", "'mobilestylegan'"]),
        ("model.encoder.blocks=[1, 1]", ["'model.encoder'", "three stages"]),
        ("model.generator={kind: migan, size: 64, channels: [8]}", ["'model.generator'", "5 channel counts"]),
        ("data=null", ["'data'"]),
        ("losses.lpips_crop=999", ["losses.lpips_crop"]),
    ],
)
def test_bad_value_names_key_value_and_what_is_allowed(override: str, parts: list[str]) -> None:
    message = error(override)
    for part in parts:
        assert part in message


def test_missing_key(tmp_path: Path) -> None:
    path = tmp_path / "a-gan.yaml"
    path.write_text("name: a\nout: b\nsteps: 1\nbatch: 1\n")
    assert "'data'" in error(path=path)


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00", ""])
def test_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a-gan.yaml"
    path.write_text(text)
    assert str(path) in error(path=path)


def test_file_that_is_not_there_and_override_without_a_value(tmp_path: Path) -> None:
    assert "none.yaml" in error(path=tmp_path / "none.yaml")
    assert "'masks.low'" in error("masks.low")


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=named)
def test_shipped_file_s_networks_can_be_built(path: Path) -> None:
    config = load_config(schema(path), path)
    with FakeTensorMode():  # shapes without memory
        if isinstance(config, GanConfig):
            generator = config.generator.build()
            StyleGAN2Discriminator(config.discriminator, generator.size)
            assert generator.num_layers == 2 * generator.size.bit_length() - 4  # L = 2 log2(s) - 2
        else:
            model = InvertFill(config.model)
            size = config.model.generator.size
            image, mask = torch.zeros(2, 3, size, size), torch.zeros(2, 1, size, size)
            assert model(image, mask).image.shape == (2, 3, size, size)
