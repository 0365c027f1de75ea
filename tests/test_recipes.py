"""The scripts of recipes/: each runs at tiny size, and what it makes is what it says."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import typer
from click.testing import Result
from conftest import ROOT, script
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_migan import CONFIG, PRIOR, published, with_prior
from torch import Tensor, nn
from training_runs import draw_pictures
from typer.testing import CliRunner

from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.losses.lpips import LPIPS
from invertfill.nn.encoder import fold_norm
from invertfill.nn.generators.migan import MIGANConfig, MIGANGenerator
from invertfill.nn.generators.mobilestylegan import MobileStyleGANConfig, MobileStyleGANGenerator
from invertfill.nn.invertfill import InvertFill
from invertfill.nn.rgb_branch import MIGANBranch, RGBBranchConfig
from invertfill.training.inversion import load_codes, load_metric

pytestmark = pytest.mark.slow

SIZES: dict[str, Any] = {"size": 32, "channels": (16, 16, 8, 8), "latent_dim": 16, "mapping_layers": 2}
FACES: dict[str, Any] = {  # a fill network with a MobileStyleGAN, as the prior of faces-256 is one
    "generator": {"kind": "mobilestylegan", **SIZES, "channels": [16, 16, 8, 8]},
    "encoder": {
        "trunk": "compact",
        "channels": [8, 8, 8],
        "blocks": [1, 2, 1],
        "pyramid_channels": 8,
        "structure_channels": 8,
    },
    "premodulation": {"hidden": 4},
    "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1},
}
NOISY = {**FACES, "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1, "noise": True}}


def recipe(place: str) -> ModuleType:
    return script(ROOT / "recipes" / f"{place}.py")


def run(tool: ModuleType, *arguments: object) -> Result:
    """The script's command line, in this process."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(tool.main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(tool: ModuleType, *arguments: object) -> str:
    """The line of bad input."""
    with pytest.raises(InputError) as error:
        run(tool, *arguments)
    return str(error.value)


def succeed(tool: ModuleType, *arguments: object) -> str:
    result = run(tool, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def build(config: dict[str, Any], seed: int = 0) -> InvertFill:
    torch.manual_seed(seed)
    return InvertFill(copy.deepcopy(config)).eval()


def generator(seed: int = 0) -> MobileStyleGANGenerator:
    torch.manual_seed(seed)
    return MobileStyleGANConfig(**SIZES).build().eval()


def save(module: nn.Module, path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, path)
    return path


def stored(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and tensors of a folder with a model.safetensors."""
    with safe_open(path / "model.safetensors", "pt") as file:
        return json.loads(file.metadata()["config"]), load_file(path / "model.safetensors")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of the kind FACES."""
    return export_model(build(FACES), tmp_path_factory.mktemp("models") / "faces", {"name": "faces", "step": 1})


@pytest.fixture
def untrained(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a script look through networks without weights."""
    return lambda tool: monkeypatch.setattr(tool, "LPIPS", partial(LPIPS, pretrained=False))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return draw_pictures(tmp_path / "pictures", 32)


# faces-256: the prior and its codes


class Source:
    """A generator as the reader of the package's files gives it: by its names, bands of a channel side by side."""

    def __init__(self) -> None:
        self.inner = generator()
        with torch.no_grad():
            for parameter in self.inner.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        state, bands = self.inner.state_dict(), self.bands_side_by_side
        self.tensors = {"input": state["input"]}
        names = {"first": "conv1"} | {
            f"blocks.{i}.conv{j}": f"layers.{i}.conv{j}" for i in range(len(self.inner.blocks)) for j in (1, 2)
        }
        haar = {"first", *(f"blocks.{i}.conv2" for i in range(len(self.inner.blocks) - 1))}
        for ours, theirs in names.items():
            arrange = bands if ours in haar else Tensor.clone
            self.tensors[f"m.{theirs}.conv.modulation.weight"] = state[f"{ours}.affine.weight"]
            self.tensors[f"m.{theirs}.conv.modulation.bias"] = state[f"{ours}.affine.bias"]
            self.tensors[f"{theirs}.weight"] = arrange(state[f"{ours}.weight"])
            self.tensors[f"{theirs}.bias"] = arrange(state[f"{ours}.bias"])
            self.tensors[f"{theirs}.noise"] = state[f"{ours}.noise"]
            if f"{ours}.depthwise" in state:
                self.tensors[f"{theirs}.depthwise"] = state[f"{ours}.depthwise"]
        for i in range(len(self.inner.blocks)):
            for key in ("weight", "bias"):
                self.tensors[f"m.layers.{i}.up.modulation.{key}"] = bands(state[f"blocks.{i}.up.{key}"]) * 2
        self.names = set(self.tensors)
        self.depth = len(self.inner.map)
        for i, layer in enumerate(self.inner.map):
            setattr(self, f"map{i}_weight", layer.weight.detach())
            setattr(self, f"map{i}_bias", layer.bias.detach())

    @classmethod
    def from_package(cls) -> Source:
        return cls()

    @staticmethod
    def bands_side_by_side(t: Tensor) -> Tensor:
        """[low C, vertical C, horizontal C, diagonal C] -> [low C, (vertical, horizontal, diagonal) of each of C]."""
        low, *details = t.chunk(4)
        return torch.cat([low, torch.stack(details, 1).flatten(0, 1)])

    def head(self) -> dict[str, Tensor]:
        state = self.inner.state_dict()
        names = {"style.weight": "rgb_affine.weight", "style.bias": "rgb_affine.bias", "rgb.weight": "rgb_weight"}
        names |= {"rgb_bias_of_w.weight": "rgb_bias.weight", "rgb.bias": "rgb_bias.bias"}
        return {theirs: state[ours].clone() for theirs, ours in names.items()}

    def tensor(self, name: str) -> Tensor:
        return self.tensors[name]

    def latents(self, seeds: list[int]) -> Tensor:
        return torch.stack([torch.randn(16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])

    def rgb_256(self, w: Tensor) -> Tensor:
        return self.inner.synthesis(w[:, None].expand(-1, self.inner.num_layers, -1))


def test_a_converted_generator_is_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = recipe("faces-256/convert_face_generator")
    save_file(Source().head(), tmp_path / "head.safetensors")
    module = SimpleNamespace(FaceGenerator=Source, HEAD_256=tmp_path / "head.safetensors")
    monkeypatch.setattr(tool, "open_reader", lambda path: module)
    monkeypatch.setattr(tool, "MobileStyleGANConfig", partial(MobileStyleGANConfig, **SIZES))
    reader, out = tmp_path / "reader.py", tmp_path / "weights" / "generator.safetensors"
    reader.touch()
    succeed(tool, reader, out)
    wanted = Source().inner.state_dict()
    for name, tensor in load_file(out).items():
        torch.testing.assert_close(tensor, wanted[name])

    portraits = tmp_path / "portraits"
    portraits.mkdir()
    for name in ("00007.png", "3.png", "README"):
        (portraits / name).touch()
    succeed(tool, reader, tmp_path / "codes.safetensors", portraits)
    torch.testing.assert_close(
        load_codes(tmp_path / "codes.safetensors", ["3.png", "00007.png"]), Source().latents([3, 7])
    )

    monkeypatch.setattr(Source, "rgb_256", lambda self, w: torch.zeros(len(w), 3, 32, 32))
    with pytest.raises(SystemExit):
        tool.convert(module)


def test_a_metric_says_which_differences_of_codes_are_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = recipe("faces-256/code_metric")
    lpips = LPIPS("alex", pretrained=False)
    for head in lpips.heads.parameters():
        head.abs_()  # as those that were learned
    monkeypatch.setattr(tool, "LPIPS", lambda net: lpips)
    monkeypatch.setattr(tool, "MobileStyleGANConfig", partial(MobileStyleGANConfig, **SIZES))
    source, w = generator(), torch.randn(64, 16) * torch.linspace(0.5, 2, 16)
    weights, codes, out = (
        save(source, tmp_path / "a.safetensors"),
        tmp_path / "b.safetensors",
        tmp_path / "c.safetensors",
    )
    save_file({"w": w}, codes)
    succeed(tool, weights, codes, out, "--count", 24)
    factor = load_metric(out, 16)
    error = ((w - w.mean(0)) @ factor).square().mean()  # of the mean latent, as the loss of codes counts it
    assert float(error) == pytest.approx(tool.MEAN_ERROR, rel=0.05)

    values, directions = torch.linalg.eigh(factor @ factor.T)
    assert values[0] > 0

    def seen(direction: Tensor) -> float:
        drawn = [
            source.synthesis((w[:16] + step)[:, None].expand(-1, source.num_layers, -1)) for step in (0, direction)
        ]
        return float(lpips(*drawn).mean())

    assert seen(0.1 * directions[:, -1]) > 2 * seen(0.1 * directions[:, 0])
    assert str(weights) in refused(tool, weights, weights, out)


@torch.no_grad()
def test_a_portrait_is_what_its_code_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = recipe("faces-256/draw_portraits")
    monkeypatch.setattr(tool, "MobileStyleGANConfig", partial(MobileStyleGANConfig, **SIZES))
    source, out, codes = generator(), tmp_path / "drawn", tmp_path / "codes.safetensors"
    weights = save(source, tmp_path / "generator.safetensors")
    succeed(tool, weights, 3, out, codes, "--first", 70, "--psi", 0.5, 0.5)

    names = sorted(path.name for path in out.iterdir())
    assert names == ["70.png", "71.png", "72.png"]
    w = load_codes(codes, names)
    drawn = source.synthesis(w[:, None].expand(-1, source.num_layers, -1)).clamp(-1, 1)
    for picture, name in zip(drawn, names, strict=True):
        pixels = torch.from_numpy(np.array(Image.open(out / name))).permute(2, 0, 1) / 127.5 - 1
        assert float((pixels - picture).abs().max()) < 2.5 / 255
    assert float((w[0] - w[1]).norm()) > 0.1

    succeed(tool, weights, 1, tmp_path / "again", codes, "--first", 71, "--psi", 0.5, 0.5)
    assert (tmp_path / "again" / "71.png").read_bytes() == (out / "71.png").read_bytes()  # of the seed alone
    assert "nothing" in refused(tool, tmp_path / "nothing", 1, out, codes)


# faces-256: MI-GAN's layers and the prior


@pytest.fixture(scope="module")
def join() -> ModuleType:
    return recipe("faces-256/join_prior")


def test_joined_and_sketched(
    join: ModuleType, faces: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prior keeps what it knows; what is fitted to its pictures comes nearer to them; a run could go on."""
    sketch = recipe("faces-256/fit_sketch")
    body = export_model(build(CONFIG, seed=1), tmp_path / "body", {})
    options = ("--images", pictures, "--first", 8, "--prior", 16, "--rank", 5)
    succeed(join, body, faces, "-o", tmp_path / "joined", *options)
    config, joined = stored(tmp_path / "joined")
    _, prior = stored(faces)
    assert FACES["encoder"].items() <= config["encoder"].items() and config["generator"]["prior"] == [16, 16, 8]
    for name, tensor in joined.items():
        if name.startswith(("encoder.", "w_mean", "generator.map.")):
            torch.testing.assert_close(tensor, prior[name].float())
        if name.startswith("generator.prior.blocks."):
            torch.testing.assert_close(tensor, prior[name.replace("prior.", "")].float())

    monkeypatch.setattr(sketch, "HELD_OUT", 8)
    portraits, codes = draw_pictures(tmp_path / "portraits", 24), tmp_path / "codes.safetensors"
    save_file({"seed": torch.arange(24), "w": torch.randn(24, 16)}, codes)
    succeed(sketch, tmp_path / "joined", codes, portraits, "-o", tmp_path / "sketched", "--steps", 3)
    _, sketched = stored(tmp_path / "sketched")
    changed = {name for name, tensor in sketched.items() if not torch.equal(tensor, joined[name])}
    assert changed and all(name.startswith("generator.prior_rgb.") for name in changed)
    InvertFill(config).load_state_dict(sketched)

    assert faces.name in refused(sketch, faces, codes, portraits, "-o", tmp_path / "none")


def test_a_sketch_is_fitted_to_the_pictures_of_codes() -> None:
    torch.manual_seed(0)
    fit = recipe("faces-256/fit_sketch").fit
    generator = with_prior().generator
    assert isinstance(generator, MIGANGenerator) and generator.prior is not None
    codes = torch.randn(400, 16)
    activations = generator.prior.head(codes[:, None].expand(-1, 8, -1), 16).detach()
    pictures = torch.tanh(activations[:, :3] * (1 + 0.3 * codes[:, :3, None, None]))
    unknown = F.l1_loss(pictures, pictures.mean((0, 2, 3), keepdim=True).expand_as(pictures))
    off = fit(generator, codes, pictures, steps=150)
    assert off < 0.4 * unknown
    held_out = codes[-100:]
    again = F.l1_loss(generator.sketch(held_out[:, None].expand(-1, 8, -1)), pictures[-100:])
    assert again.item() == pytest.approx(off, rel=0.05)  # fitted in bfloat16


@torch.no_grad()
def test_a_low_rank_layer_of_full_rank_is_the_convolution_of_the_constant(join: ModuleType) -> None:
    torch.manual_seed(0)
    trunk = MobileStyleGANConfig(size=16, channels=(8, 8, 4), latent_dim=16).build()
    w = torch.randn(64, 16)
    layer = join.low_rank(trunk, w, 16)
    torch.testing.assert_close(layer(w), trunk.first(trunk.input.expand(64, -1, -1, -1), w), rtol=1e-4, atol=1e-5)
    lost = [(join.low_rank(trunk, w, rank)(w) - layer(w)).square().mean() for rank in (4, 8, 12)]
    assert lost[0] > lost[1] > lost[2] > 0


def test_joining_names_a_model_of_another_kind(join: ModuleType) -> None:
    with pytest.raises(InputError, match=r"faces-256.* migan.* mobilestylegan"):
        join.load("faces-256", "mobilestylegan")
    with pytest.raises(InputError, match="nobody"):
        join.load("nobody", "migan")


@torch.no_grad()
def test_joined_models_fill_as_the_body_does_at_first(join: ModuleType) -> None:
    torch.manual_seed(0)
    body, joined = InvertFill(CONFIG).eval(), InvertFill(PRIOR).eval()
    for conv in [*body.generator.first, *body.generator.second]:
        torch.nn.init.normal_(conv.affine.weight)
    torch.nn.init.zeros_(body.generator.to_rgb[0].weight)  # of what goes, its picture at 4 px
    torch.nn.init.zeros_(body.generator.to_rgb[0].bias)
    image, mask = torch.rand(1, 3, 32, 32) * 2 - 1, torch.zeros(1, 1, 32, 32)
    mask[..., 8:24, 8:24] = 1
    join.copy_body(body, joined, image, mask)
    w = body.w_mean.expand(1, body.generator.num_layers, -1)
    codes = torch.randn(1, joined.generator.num_layers, 16)
    torch.testing.assert_close(joined.draw(image, mask, codes), body.draw(image, mask, w), rtol=1e-4, atol=1e-5)


# faces-256: what goes on from a model


@pytest.fixture
def masked() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    masks = (torch.rand(16, 1, 4, 4) < 0.5).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    return torch.rand(16, 3, 32, 32) * 2 - 1, masks


def codes_of(model: InvertFill, masked: tuple[Tensor, Tensor]) -> Tensor:
    with torch.no_grad():
        return model.encode(*masked)[0]


def test_unfolded_and_folded_again_it_is_what_it_was(masked: tuple[Tensor, Tensor]) -> None:
    tool, model = recipe("faces-256/unfold_norm"), build(FACES)
    unfolded = tool.unfold(model, *masked)
    wanted = codes_of(model, masked)
    assert wanted.std() > 0.01
    torch.testing.assert_close(codes_of(unfolded, masked), wanted, rtol=1e-4, atol=1e-5)
    # On the very pictures that it was measured on, the statistics of the batch are the stored ones.
    torch.testing.assert_close(codes_of(unfolded.train(), masked), wanted, rtol=1e-2, atol=1e-3)
    unfolded = tool.unfold(model, *masked)
    fold_norm(unfolded.encoder)
    assert set(unfolded.state_dict()) == set(model.state_dict())
    torch.testing.assert_close(codes_of(unfolded, masked), wanted, rtol=1e-4, atol=1e-5)


def test_an_unfolded_encoder_normalises_in_training(masked: tuple[Tensor, Tensor]) -> None:
    unfolded = recipe("faces-256/unfold_norm").unfold(build(FACES), *masked)
    pair = unfolded.train().encoder.lateral[0]
    x = torch.randn(16, 8, 8, 8) * 7 + 3
    normalised = pair(x)
    torch.testing.assert_close(normalised.mean((0, 2, 3)), pair[1].bias.detach(), rtol=1e-3, atol=1e-4)


def test_an_encoder_is_unfolded_by_the_command(
    faces: Path, pictures: Path, tmp_path: Path, masked: tuple[Tensor, Tensor]
) -> None:
    tool, out = recipe("faces-256/unfold_norm"), tmp_path / "new" / "unfolded.safetensors"
    succeed(tool, faces, "--images", pictures, "-o", out, "--count", 8)
    config, tensors = stored(faces)
    folded, unfolded = build(config), build({**config, "encoder": {**config["encoder"], "norm": True}})
    folded.load_state_dict(tensors)
    unfolded.load_state_dict(load_file(out))
    torch.testing.assert_close(codes_of(unfolded, masked), codes_of(folded, masked), rtol=1e-4, atol=1e-5)
    assert "photos" in refused(tool, "photos", "--images", pictures, "-o", out)


@pytest.fixture(scope="module")
def averaging() -> ModuleType:
    return recipe("faces-256/mean_weights")


def loud(seed: int) -> InvertFill:
    """With noise in its RGB branch."""
    model = build(NOISY, seed)
    assert model.rgb_branch is not None and model.rgb_branch.noise is not None
    for strength in model.rgb_branch.noise.strengths:
        nn.init.constant_(strength, 0.5)
    return model


def test_every_tensor_is_the_mean_by_share(averaging: ModuleType) -> None:
    a, b = build(FACES, 0), build(FACES, 1)
    merged = averaging.mean([a, b], [0.75, 0.25]).state_dict()
    for name, value in a.state_dict().items():
        torch.testing.assert_close(merged[name], 0.75 * value + 0.25 * b.state_dict()[name])


def test_a_source_without_noise_counts_as_silent(averaging: ModuleType) -> None:
    noisy, quiet = loud(0), build(FACES, 1)
    merged = averaging.mean([noisy, quiet], [0.5, 0.5])
    assert all(torch.allclose(strength, torch.tensor(0.25)) for strength in merged.rgb_branch.noise.strengths)
    assert torch.equal(merged.rgb_branch.noise.pixels, noisy.rgb_branch.noise.pixels)


def test_a_mean_of_other_architectures_is_refused(averaging: ModuleType) -> None:
    wider = {**FACES, "premodulation": {"hidden": 8}}
    with pytest.raises(InputError, match="premodulation"):
        averaging.mean([build(FACES), build(wider)], [0.5, 0.5])
    with pytest.raises(InputError, match="noise"):
        averaging.mean([build(FACES), loud(0)], [0.5, 0.5])


def test_a_model_folder_of_model_folders(averaging: ModuleType, faces: Path, tmp_path: Path) -> None:
    other, out = export_model(build(FACES, 1), tmp_path / "b", {"name": "b", "step": 2}), tmp_path / "c"
    succeed(averaging, f"{faces}=0.25", f"{other}=0.75", "-o", out, "--name", "mine")
    (_, a), (_, b), (_, c) = map(stored, (faces, other, out))
    for name, value in c.items():
        torch.testing.assert_close(value.float(), 0.25 * a[name].float() + 0.75 * b[name].float(), rtol=1e-3, atol=1e-3)
    with safe_open(out / "model.safetensors", "pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["name"] == "mine"
    assert [(each["share"], each["name"], each["step"]) for each in provenance["mean_of"]] == [
        (0.25, "faces", 1),
        (0.75, "b", 2),
    ]


@pytest.mark.parametrize(("sources", "part"), [(["A=0.5"], "0.5"), (["A"], "SOURCE=SHARE"), (["nobody=1"], "nobody")])
def test_shares_that_are_none(
    averaging: ModuleType, faces: Path, tmp_path: Path, sources: list[str], part: str
) -> None:
    assert part in refused(averaging, *(source.replace("A", str(faces)) for source in sources), "-o", tmp_path / "d")
    assert not (tmp_path / "d").exists()


# scenery-256


WIDTHS = {4: 16, 8: 16, 16: 8, 32: 8, 64: 4}


def test_migan_becomes_a_model(
    faces: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained: Any
) -> None:
    tool, weights = recipe("scenery-256/convert_migan"), published(WIDTHS)
    untrained(tool)
    for name, value in {"SIZE": 32, "WINDOW": 16, "WIDTHS": WIDTHS, "read_weights": lambda path: weights}.items():
        monkeypatch.setattr(tool, name, value)
    (tmp_path / "migan.onnx").touch()
    off: list[float] = []
    fit = tool.fit_rgb

    def watched(teacher: nn.Module, model: InvertFill, *rest: Any) -> None:
        off.append(tool.compare(teacher, model, pictures, 8))
        fit(teacher, model, *rest)
        off.append(tool.compare(teacher, model, pictures, 8))

    monkeypatch.setattr(tool, "fit_rgb", watched)
    command = (tmp_path / "migan.onnx", pictures, "--style", faces, "-o", tmp_path / "start")
    succeed(tool, *command, "--stem-steps", 4, "--steps", 2)
    assert off[1] < off[0]  # the last toRGB is fitted to what MI-GAN draws
    config, tensors = stored(tmp_path / "start")
    model = build(config)
    model.load_state_dict(tensors)
    assert isinstance(model.generator, MIGANGenerator) and model.generator.size == 32
    _, style = stored(faces)
    for name in (name for name in style if name.startswith(("encoder.", "generator.map."))):
        torch.testing.assert_close(tensors[name], style[name].float())
    image, mask = torch.rand(1, 3, 32, 32) * 2 - 1, torch.ones(1, 1, 32, 32)
    codes = torch.randn(2, 1, model.generator.num_layers, 16)
    assert torch.equal(model.draw(image, mask, codes[0]), model.draw(image, mask, codes[1]))  # style has no say yet

    assert "MobileStyleGAN" in refused(tool, *command[:2], "--style", "scenery-256", "-o", tmp_path / "none")


# photos-512


@pytest.fixture(scope="module")
def lean() -> ModuleType:
    return recipe("photos-512/lean")


def moments(x: Tensor) -> Tensor:
    x = torch.cat([x, torch.ones_like(x[:, :1])], 1).double()
    return x.T @ x / len(x)


def test_the_channel_that_is_missed_least_goes_and_the_rest_is_the_least_squares_fit(lean: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 6) @ torch.randn(6, 6) + torch.randn(6)
    weights = [torch.randn(3, 6), torch.randn(5, 6)]

    def error(kept: list[int], weight: Tensor) -> tuple[float, Tensor]:
        inputs = torch.cat([x[:, kept], torch.ones(len(x), 1)], 1).double()
        wanted = (x @ weight.T).double()
        solved = torch.linalg.lstsq(inputs, wanted).solution
        rest = (inputs @ solved - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()
        return float(rest), solved

    kept, fitted, shifts, missed = lean.thin(weights, [moments(x)] * 2, 5)
    costs = [sum(error([k for k in range(6) if k != j], w)[0] for w in weights) / 2 for j in range(6)]
    (gone,) = set(range(6)) - set(kept.tolist())
    assert gone == min(range(6), key=lambda j: costs[j])
    assert missed == pytest.approx(min(costs), rel=0.02)
    for weight, found, shift in zip(weights, fitted, shifts, strict=True):
        _, solved = error(kept.tolist(), weight)
        torch.testing.assert_close(found, solved[:-1].T.float(), rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(shift, solved[-1].float(), rtol=1e-2, atol=1e-2)


def test_a_channel_that_says_what_another_says_costs_nothing(lean: ModuleType) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 4)
    x[:, 2] = 2 * x[:, 0] - 1  # a constant is at hand, too
    kept, _, _, missed = lean.thin([torch.randn(3, 4)], [moments(x)], 3)
    assert missed < 1e-3
    assert {0, 2} - set(kept.tolist())


def test_every_narrowed_space_is_read_and_written_once(lean: ModuleType) -> None:
    """Each layer that has channels at 128, 256 or 512 px on a side, on that side, and no other."""
    generator = lean.MIGANConfig(size=512, channels=tuple(lean.WIDTHS.values()), noise_to=128).build()
    branch = lean.MIGANBranch(lean.RGBBranchConfig(kind="migan", stem=0), generator.feature_channels)
    wide = lean.Pair(generator, branch)  # as in load_migan
    names = {layer: name for name, layer in wide.named_modules()}
    read = [names[layer] for _, space in lean.spaces(wide) for layer in space[2]]
    written = [names[layer] for _, space in lean.spaces(wide) for layer in space[0]]
    assert len(set(read)) == len(read) and len(set(written)) == len(written)
    small = lean.Pair(*lean.empty()).state_dict()
    for name, tensor in wide.state_dict().items():
        if "pointwise.weight" in name or ("to_rgb" in name and name.endswith("weight")):
            layer, other = name.removesuffix(".weight"), small[name]
            assert (tensor.shape[1] != other.shape[1]) == (layer in read), name
            assert (tensor.shape[0] != other.shape[0]) == (layer in written), name


def test_migan_is_made_lean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, untrained: Any) -> None:
    tool = recipe("photos-512/lean")
    untrained(tool)
    small = {"SIZE": 64, "WIDTHS": WIDTHS, "NARROW": {32: 6, 64: 3}, "WHOLE": 16, "MEASURED": 4, "WINDOW": 32}

    def load_migan(path: Path) -> tuple[MIGANGenerator, MIGANBranch]:
        torch.manual_seed(0)
        generator = MIGANConfig(size=64, channels=tuple(WIDTHS.values()), noise_to=64, dark_to=64).build()
        return generator, MIGANBranch(RGBBranchConfig(kind="migan", stem=0), generator.feature_channels)

    for name, value in {**small, "load_migan": load_migan}.items():
        monkeypatch.setattr(tool, name, value)
    photos, weights = draw_pictures(tmp_path / "photos", 8, 64), tmp_path / "migan.onnx"
    weights.touch()
    off: list[float] = []
    apart = tool.apart

    def watched(lean: nn.Module, wide: nn.Module, batches: Any) -> float:
        found = apart(lean, wide, batches)
        off.extend([found, apart(tool.Pair(*tool.empty()), wide, batches)])
        return found

    monkeypatch.setattr(tool, "apart", watched)
    output = succeed(tool, weights, photos, "-o", tmp_path / "a", "--steps", 2, "--val", photos, "--count", 2)
    thinned, _, fitted, untouched = off
    assert max(thinned, fitted) < 0.5 * untouched
    assert output.count("lean ") == 3  # kinds of holes
    tensors = load_file(tmp_path / "a" / "model.safetensors")
    tool.Pair(*tool.empty()).load_state_dict(tensors)
    assert tensors["generator.second.4.pointwise.weight"].shape[:2] == (3, 3)

    succeed(tool, weights, photos, "-o", tmp_path / "b", "--start", tmp_path / "a", "--steps", 0)
    again = load_file(tmp_path / "b" / "model.safetensors")
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in again.items())
