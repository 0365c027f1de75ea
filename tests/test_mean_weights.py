"""tools/mean_weights.py: weights' means, and models that don't fit together."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch
from conftest import ROOT, script
from safetensors import safe_open
from safetensors.torch import load_file

from invertfill.errors import InputError
from invertfill.export import export_model
from invertfill.nn.invertfill import InvertFill

CONFIG = {
    "generator": {"kind": "mobilestylegan", "size": 32, "channels": [8, 8, 8, 8], "latent_dim": 16},
    "encoder": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "pyramid_channels": 8, "structure_channels": 8},
    "premodulation": {"hidden": 4},
    "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1},
}
NOISY = {**CONFIG, "rgb_branch": {"channels": [4, 4, 8], "bottleneck": 1, "noise": True}}


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return script(ROOT / "recipes" / "faces-256" / "mean_weights.py")


def build(seed: int, config: dict = CONFIG) -> InvertFill:
    torch.manual_seed(seed)
    model = InvertFill(config).eval()
    if model.rgb_branch is not None and model.rgb_branch.noise is not None:
        for strength in model.rgb_branch.noise.strengths:
            torch.nn.init.constant_(strength, 0.5)
    return model


def test_every_tensor_is_the_mean_by_share(tool: ModuleType) -> None:
    a, b = build(0), build(1)
    merged = tool.mean([a, b], [0.75, 0.25]).state_dict()
    for name, value in a.state_dict().items():
        torch.testing.assert_close(merged[name], 0.75 * value + 0.25 * b.state_dict()[name])


def test_a_source_without_noise_counts_as_silent(tool: ModuleType) -> None:
    noisy, quiet = build(0, NOISY), build(1)
    merged = tool.mean([noisy, quiet], [0.5, 0.5])
    assert all(torch.allclose(strength, torch.tensor(0.25)) for strength in merged.rgb_branch.noise.strengths)
    assert torch.equal(merged.rgb_branch.noise.pixels, noisy.rgb_branch.noise.pixels)


def test_other_architectures_are_refused(tool: ModuleType) -> None:
    wider = {**CONFIG, "premodulation": {"hidden": 8}}
    with pytest.raises(InputError, match="one architecture"):
        tool.mean([build(0), build(0, wider)], [0.5, 0.5])
    with pytest.raises(InputError, match="the first source hasn't it"):
        tool.mean([build(0), build(0, NOISY)], [0.5, 0.5])


def test_a_model_folder_of_model_folders(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for i, name in enumerate(("a", "b")):
        export_model(build(i), tmp_path / name, {"name": name, "step": i})
    command = ["mean_weights.py", f"{tmp_path}/a=0.5", f"{tmp_path}/b=0.5", "-o", str(tmp_path / "c"), "--name", "mine"]
    monkeypatch.setattr("sys.argv", command)
    assert tool.main() == 0
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    for name, value in c.items():
        torch.testing.assert_close(value.float(), (a[name].float() + b[name].float()) / 2, rtol=1e-3, atol=1e-6)
    with safe_open(tmp_path / "c" / "model.safetensors", "pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    assert provenance["name"] == "mine"
    assert [(each["share"], each["name"], each["step"]) for each in provenance["mean_of"]] == [
        (0.5, "a", 0),
        (0.5, "b", 1),
    ]
    monkeypatch.setattr("sys.argv", [*command[:1], f"{tmp_path}/a=0.5", "-o", str(tmp_path / "d")])
    assert tool.main() == 2
    assert "sum to 0.5" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
