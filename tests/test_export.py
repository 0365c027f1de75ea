"""Model folders (export.py): ONNX Runtime against torch, on graphs that hold no weights of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import TINY
from onnx import TensorProto, numpy_helper
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from invertfill import export as module
from invertfill.engines import open_engine
from invertfill.engines.base import CropRequest
from invertfill.errors import InputError
from invertfill.export import export, export_model
from invertfill.nn.invertfill import InvertFill, InvertFillConfig
from invertfill.options import FillOptions
from invertfill.pipeline.domain_prior import DomainPrior
from invertfill.registry import FILES, NOISE, SUMS, find_model, write_sums
from invertfill.training.checkpoint import save_checkpoint
from invertfill.training.config import InversionConfig, load_config

pytestmark = pytest.mark.slow

GRAPHS = ("fill.onnx", "mapping.onnx", "synthesis.onnx")
CONFIGS: dict[str, dict[str, Any]] = {
    "stylegan2-ir_se": {
        "generator": TINY["generator"],
        "encoder": {"trunk": "ir_se", "channels": [4, 8, 8, 16], "blocks": [1, 2, 1, 1], "pyramid_channels": 8},
        "premodulation": {"hidden": 8},
        "rgb_branch": {"channels": [4, 8, 8], "bottleneck": 1},
    },
    "mobilestylegan-compact": {
        "generator": {
            "kind": "mobilestylegan",
            "size": 32,
            "channels": [16, 16, 8, 8],
            "mapping_layers": 2,
            "latent_dim": 24,
        },
        "encoder": {"trunk": "compact", "channels": [8, 12, 16], "blocks": [1, 1, 1], "pyramid_channels": 8},
        "premodulation": {"hidden": 8},
        "rgb_branch": {"channels": [4, 8, 8], "bottleneck": 1, "noise": True},
    },
    "migan-compact": {
        "generator": {"kind": "migan", "size": 32, "channels": [16, 16, 8, 8], "mapping_layers": 2, "latent_dim": 24},
        "encoder": {"trunk": "compact", "channels": [8, 12, 16], "blocks": [1, 1, 1], "pyramid_channels": 8},
        "premodulation": {"hidden": 8},
        "rgb_branch": {"kind": "migan"},
    },
    "migan-with-prior": {
        "generator": {
            "kind": "migan",
            "size": 32,
            "channels": [16, 8, 8],
            "mapping_layers": 2,
            "latent_dim": 24,
            "prior": [8, 8, 8],
            "prior_rank": 4,
        },
        "encoder": {"trunk": "compact", "channels": [8, 12, 16], "blocks": [1, 1, 1], "pyramid_channels": 8},
        "premodulation": {"hidden": 8},
        "rgb_branch": {"kind": "migan", "noise": True},
    },
    "migan-that-guesses-z": {
        "generator": {
            "kind": "migan",
            "size": 32,
            "channels": [16, 16, 8, 8],
            "mapping_layers": 2,
            "latent_dim": 24,
            "noise_to": 8,
            "dark_to": 16,
            "const_rank": 4,
            "z_dim": 4,
        },
        "encoder": {
            "trunk": "compact",
            "channels": [8, 12, 16],
            "blocks": [1, 1, 1],
            "pyramid_channels": 8,
            "size": 32,
            "z_dim": 4,
        },
        "premodulation": {"hidden": 8},
        "rgb_branch": {"kind": "migan", "noise": True, "stem": 0},
        "blend": "none",
    },
}
PLAIN = {**CONFIGS["stylegan2-ir_se"], "premodulation": {"enabled": False}, "rgb_branch": {"channels": []}}


def random_model(config: dict[str, Any], seed: int = 0) -> InvertFill:
    """As after training: no tensor is left at a constant."""
    torch.manual_seed(seed)
    model = InvertFill(config)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return model.eval()


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[InvertFill, Path]:
    model = random_model(CONFIGS[request.param])
    return model, export_model(model, tmp_path_factory.mktemp("models") / "tiny", {"data": "none"})


def run(path: Path, *inputs: torch.Tensor) -> np.ndarray:
    """At once where the graph takes any number of pictures, and one by one where it takes one."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    steps = inputs[0].shape[0] if session.get_inputs()[0].shape[0] == 1 else 1
    parts = zip(*(torch.chunk(x, steps) for x in inputs), strict=True)
    return np.concatenate(
        [session.run(None, {n: x.numpy() for n, x in zip(names, part, strict=True)})[0] for part in parts]
    )


def fill_inputs(count: int, model: InvertFill | None = None) -> tuple[torch.Tensor, ...]:
    """Picture, mask and mean latent or deviation; and noise, where a model is given whose fills come of it."""
    torch.manual_seed(count)
    mask = (torch.rand(count, 1, 32, 32) < 0.5).float()
    entries = model.generator.z_dim if model and model.guesses_z else 24
    inputs = torch.rand(count, 3, 32, 32) * 2 - 1, mask, torch.randn(count, entries)
    if model is None or model.rgb_branch is None or model.rgb_branch.noise is None:
        return inputs
    return *inputs, torch.randn(count, 1, 32, 32)


@pytest.mark.parametrize("count", [1, 3])
def test_graphs_agree_with_torch(exported: tuple[InvertFill, Path], count: int) -> None:
    model, folder = exported
    inputs = fill_inputs(count, model)
    z, w = torch.randn(count, model.generator.z_dim), torch.randn(count, 24)
    with torch.no_grad():
        fill = module.Fill(model)(*inputs).numpy()
        mapped = model.generator.mapping(z).numpy()
        drawn = model.sample(w).numpy()
    assert fill.std() > 0.05  # a picture that is something
    np.testing.assert_allclose(run(folder / "fill.onnx", *inputs), fill, rtol=0, atol=1e-4)
    np.testing.assert_allclose(run(folder / "mapping.onnx", z), mapped, rtol=0, atol=1e-4)
    np.testing.assert_allclose(run(folder / "synthesis.onnx", w), drawn, rtol=0, atol=1e-4)


def test_the_domain_is_of_what_the_generator_draws_or_of_pictures(
    exported: tuple[InvertFill, Path], tmp_path: Path
) -> None:
    model, folder = exported
    drawn = run(
        folder / "synthesis.onnx", model.generator.mapping(torch.randn(64, model.generator.z_dim)).detach()
    ).clip(-1, 1)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (8, 40, 32, 3), np.uint8)
    (tmp_path / "pictures").mkdir()
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{i}.png")
    other = export_model(model, tmp_path / "model", {}, pictures=tmp_path / "pictures")
    assert find_model(other).verify() is None
    by_drawn, by_noise = (DomainPrior.load(path / "domain.npz") for path in (folder, other))
    masks = np.zeros((1, 1, 32, 32), np.float32)
    seen = noise[:, 4:36].transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    assert (
        np.mean([by_drawn.log_likelihood(x[None], masks) - by_noise.log_likelihood(x[None], masks) for x in drawn]) > 0
    )
    assert (
        np.mean([by_drawn.log_likelihood(x[None], masks) - by_noise.log_likelihood(x[None], masks) for x in seen]) < 0
    )
    (tmp_path / "pictures" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"bad\.png: "):
        export_model(model, tmp_path / "third", {}, pictures=tmp_path / "pictures")
    assert not (tmp_path / "third").exists()


def test_ablations_export(tmp_path: Path) -> None:
    """Without RGB branch and pre-modulation."""
    model = random_model(PLAIN)
    folder = export_model(model, tmp_path / "plain", {})
    image, mask, w = fill_inputs(2)
    with torch.no_grad():
        expected = model(image, mask, w).image.numpy()
    np.testing.assert_allclose(run(folder / "fill.onnx", image, mask, w), expected, rtol=0, atol=1e-4)


def test_a_graph_of_an_earlier_version_fills_by_its_own_noise(tmp_path: Path) -> None:
    model = random_model(CONFIGS["migan-with-prior"])
    folder = export_model(model, tmp_path / "old", {})
    inputs = [x.numpy() for x in fill_inputs(2, model)]
    engine = open_engine(find_model(folder), FillOptions())
    expected, other = engine.fill(CropRequest(*inputs[:3])), engine.fill(CropRequest(*inputs))
    assert np.abs(other - expected).max() > 0.01
    three = dict(zip(("image", "mask", "w_mean"), fill_inputs(1), strict=True))
    module._export_graph(module.Fill(model), three, "output", folder / "fill.onnx")
    write_sums(folder)
    engine = open_engine(find_model(folder), FillOptions())
    np.testing.assert_allclose(engine.fill(CropRequest(*inputs)), expected, rtol=0, atol=1e-4)


def test_interface_of_the_graphs(exported: tuple[InvertFill, Path]) -> None:
    model, folder = exported
    names = "image", "mask", "deviation" if model.guesses_z else "w_mean", "noise"
    expected = {
        "fill.onnx": ({n: list(x.shape) for n, x in zip(names, fill_inputs(1, model), strict=False)}, "output"),
        "mapping.onnx": ({"z": ["N", model.generator.z_dim]}, "w"),
        "synthesis.onnx": ({"w": [1, 24]}, "image"),
    }
    for name, (inputs, output) in expected.items():
        session = onnxruntime.InferenceSession(str(folder / name), providers=["CPUExecutionProvider"])
        assert {entry.name: entry.shape for entry in session.get_inputs()} == inputs
        assert [entry.name for entry in session.get_outputs()] == [output]
        assert {entry.type for entry in (*session.get_inputs(), *session.get_outputs())} == {"tensor(float)"}


def test_weights_are_on_disk_once(exported: tuple[InvertFill, Path]) -> None:
    """Every weight is a reference into model.safetensors; the three graphs together use all but the mean latent."""
    _, folder = exported
    tensors = load_file(folder / "model.safetensors")
    used = set()
    for name in GRAPHS:
        graph = onnx.load(folder / name, load_external_data=False)
        assert max(version.version for version in graph.opset_import) >= 17
        for tensor in graph.graph.initializer:
            if tensor.data_location != TensorProto.EXTERNAL:
                assert np.unique(numpy_helper.to_array(tensor)).size < 40  # filters and shapes; weights hold many
                continue
            assert tensor.data_type == TensorProto.FLOAT16
            assert {e.key: e.value for e in tensor.external_data}["location"] == "model.safetensors"
            used.add(tensor.name)
        for node in graph.graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):  # filters and shapes hold few different numbers, weights many
                    assert np.unique(onnx.numpy_helper.to_array(attribute.t)).size < 8, node.name
        full = onnx.load(folder / name)
        for tensor in full.graph.initializer:
            if tensor.name in tensors:
                np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), tensors[tensor.name].numpy())
    floats = {name for name, tensor in tensors.items() if tensor.is_floating_point()}
    # Tensors of equal content (such as two untrained biases) may share a reference; these are random, so none does.
    # Of what no graph needs, a prior's toRGB is for quality best, which runs on torch; the mean latent and the noise
    # that fills start from are inputs (MI-GAN's layers need the noise for samples, too).
    unused = {name for name in floats if name.startswith("generator.prior_rgb.")} | {"w_mean", NOISE}
    assert used - {NOISE} == floats - unused
    assert {path.name for path in folder.iterdir()} == {"MODEL_CARD.md", SUMS, *FILES}


@pytest.mark.parametrize("name", GRAPHS)
def test_runtime_folds_the_casts(exported: tuple[InvertFill, Path], tmp_path: Path, name: str) -> None:
    """Half precision costs time when a graph is opened, not when it runs."""
    _, folder = exported
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / name)
    onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
    before = onnx.load(folder / name, load_external_data=False).graph
    after = onnx.load(tmp_path / name).graph
    halves = {tensor.name for tensor in before.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert halves
    assert [node.name for node in after.node if halves & set(node.input)] == []


def test_weights_file_is_the_model(exported: tuple[InvertFill, Path]) -> None:
    """The other engine reads the same file: configuration and all."""
    model, folder = exported
    with safe_open(folder / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["provenance"]) == {"data": "none"}
    again = InvertFill(json.loads(metadata["config"])).eval()
    tensors = load_file(folder / "model.safetensors")
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float16}
    again.load_state_dict(tensors)
    image, mask, w = fill_inputs(2)
    with torch.no_grad():
        assert torch.equal(again(image, mask, w).image, model(image, mask, w).image)


def checkpoint_of(run: Path, stage: str = "inversion", **changes: Any) -> tuple[Path, InvertFill]:
    config = {"stage": stage, "name": "test", "seed": 3, "model": PLAIN, "about": {"domain": "noise"}, **changes}
    config["data"] = {"path": "secret"}
    model, shadow = random_model(PLAIN, 1), random_model(PLAIN, 2)
    return save_checkpoint(run, 7, config, {"commit": "abc"}, {"model": model, "ema": shadow}, {}, keep=1), shadow


def test_checkpoint_gives_its_shadow_weights(tmp_path: Path) -> None:
    masks = {"kind": "objects", "outlines": "/home/me/outlines"}
    checkpoint, shadow = checkpoint_of(tmp_path / "run", masks=masks)
    folder = export(checkpoint, tmp_path / "out" / "model")
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in shadow.state_dict().items():
        assert torch.equal(tensors[name], tensor.half() if tensor.is_floating_point() else tensor), name
    with safe_open(folder / "model.safetensors", "pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
        known = {"step": 7, "name": "test", "domain": "noise", "commit": "abc", "seed": 3}
        assert provenance == {**known, "masks": {**masks, "outlines": "outlines"}}  # no path of a machine
        stored = json.loads(file.metadata()["config"])
    assert stored == InvertFillConfig(**PLAIN).model_dump(mode="json")  # whole: no default can change it later
    assert "provenance" not in (folder / "MODEL_CARD.md").read_text()
    export(tmp_path / "run", folder)  # a run's folder stands for its newest checkpoint; a model folder is replaced
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_model_says_how_many_latents_make_another_seed_s_mean(tmp_path: Path) -> None:
    tiny = Path(__file__).parent.parent / "configs" / "tiny-inversion.yaml"
    about = load_config(InversionConfig, tiny, ["about.mean_latent_samples=64"]).about.model_dump()
    checkpoint, _ = checkpoint_of(tmp_path / "run", about=about)
    assert find_model(export(checkpoint, tmp_path / "model")).mean_latent_samples == 64


def test_what_is_no_checkpoint_of_stage_2(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"state\.json"):
        export(tmp_path, tmp_path / "out")
    checkpoint, _ = checkpoint_of(tmp_path / "gan", "gan")
    with pytest.raises(InputError, match="'inversion'"):
        export(checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name in ("photos", "file"):
        with pytest.raises(InputError, match=name):
            export_model(random_model(PLAIN), tmp_path / name, {})
    with pytest.raises(InputError, match="below"):
        export_model(random_model(PLAIN), tmp_path / "file" / "below", {})
    assert (tmp_path / "photos" / "a.txt").read_text() == (tmp_path / "file").read_text() == "mine"


def test_failure_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"old")

    def broken(model: InvertFill, draft: Path) -> None:
        assert (draft / "model.safetensors").exists()
        raise OSError("disk full")

    monkeypatch.setattr(module, "_export_graphs", broken)
    with pytest.raises(InputError, match="disk full"):
        export_model(random_model(PLAIN), folder, {})
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (folder / "model.safetensors").read_bytes() == b"old"


def test_weights_beyond_half_precision(tmp_path: Path) -> None:
    model = random_model(PLAIN)
    model.w_mean[3] = 1e6
    with pytest.raises(InputError, match="w_mean: "):
        export_model(model, tmp_path / "model", {})
    assert not (tmp_path / "model").exists()


def test_card(tmp_path: Path) -> None:
    folder = export_model(random_model(PLAIN), tmp_path / "model", {}, card="# Mine\n")
    assert (folder / "MODEL_CARD.md").read_text() == "# Mine\n"
