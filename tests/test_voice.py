"""What commands say beside their results: success, notes, JSON, help, completion."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, assert_one_line, environment, start
from PIL import Image

pytestmark = pytest.mark.slow
FACE = ROOT / "examples" / "portrait-astronaut.png"
ITS_MASK = ROOT / "examples" / "masks" / "portrait-astronaut-box.png"
KEYS = ["path", "image", "model", "why", "seed", "seconds", "size", "notes"]


def test_success_is_one_line_that_names_the_model(run, tmp_path: Path) -> None:
    result = run("fill", FACE, "--mask", ITS_MASK, "-o", tmp_path / "out.png")
    assert (result.status, result.err) == (0, "")
    assert re.fullmatch(rf"{tmp_path}/out.png: portrait model \(faces-256\), \d+\.\d s\n", result.out)


def test_verbose_says_why_and_quiet_says_nothing(run, tmp_path: Path) -> None:
    said = run("fill", FACE, "--mask", ITS_MASK, "-o", tmp_path / "out.png", "-v")
    assert "256x256 px, seed 0" in said.out and re.search("note: .*a face was found", said.err)
    for command in (
        ("fill", FACE, "--mask", ITS_MASK, "-o", tmp_path / "out.png"),
        ("fill", FACE, FACE.parent / "portrait-hopper.png", "--mask", ITS_MASK, "-o", tmp_path / "out"),
        ("outpaint", FACE, "--left", 9, "-o", tmp_path / "out.png"),
        ("sample", "--seeds", 1, "-o", tmp_path / "out.png"),
    ):
        result = run(*command, "-q")
        assert (result.status, result.out, result.err) == (0, "", "")


def test_quiet_hides_notes_and_no_failure(fill, photo: Path, mask: Path, tmp_path: Path) -> None:
    Image.open(photo).convert("RGBA").save(tmp_path / "whole.png")
    assert fill(tmp_path / "whole.png", "-o", tmp_path / "out.png").err
    assert not fill(tmp_path / "whole.png", "-o", tmp_path / "out.png", "-q").err
    assert_one_line(fill(tmp_path / "none.png", "-o", tmp_path / "out.png", "-q"), "no such file")
    (tmp_path / "bad.png").write_text("none")
    result = fill(photo, tmp_path / "bad.png", "--mask", mask, "-o", tmp_path / "out", "-q")
    assert (result.status, result.out, result.err.count("\n")) == (1, "", 1) and "bad.png" in result.err


def test_json_of_one_picture_and_of_samples(fill, photo: Path, mask: Path, tmp_path: Path) -> None:
    arguments = (photo, "--mask", mask, "-o", tmp_path / "out.jpg", "--seed", 3, "--samples", 2, "--json")
    told = json.loads(fill(*arguments).out)
    assert list(told) == ["results", "skipped", "failed"] and told["skipped"] == told["failed"] == []
    assert [list(one) for one in told["results"]] == [KEYS, KEYS]
    for seed, one in zip((3, 4), told["results"], strict=True):
        assert Path(one["path"]).is_file() and one["path"].endswith(f"out-{seed}.jpg")
        assert (one["image"], one["model"], one["seed"], one["size"]) == (str(photo), "tiny", seed, [40, 24])
        assert one["seconds"] > 0 and isinstance(one["notes"], list)


def test_json_of_several_pictures(fill, photo: Path, mask: Path, tmp_path: Path) -> None:
    for name in ("bad.png", "out/there.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("none")
    Image.open(photo).save(tmp_path / "there.png")
    pictures = (photo, tmp_path / "bad.png", tmp_path / "there.png")
    result = fill(*pictures, "--mask", mask, "-o", tmp_path / "out", "--no-clobber", "--json")
    told = json.loads(result.out)
    assert result.status == 1
    assert [one["path"] for one in told["results"]] == [str(tmp_path / "out" / "photo.png")]
    assert list(told["results"][0]) == KEYS and told["results"][0]["size"] == [40, 24]
    assert told["skipped"] == [str(tmp_path / "out" / "there.png")]
    assert [one["image"] for one in told["failed"]] == [str(tmp_path / "bad.png")] and told["failed"][0]["reason"]


def test_json_of_models(run) -> None:
    told = json.loads(run("models", "--json").out)
    names = {model["name"] for model in told["models"]}
    assert told["default"] == "auto" and set(told["auto"]) <= names and "faces-256" in names
    assert all(len(model["sha256"]) == 64 and model["size"] > 0 for model in told["models"])


def test_json_of_an_evaluation(run, photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics", reason="needs the extra eval")
    (tmp_path / "pictures").mkdir()
    Image.open(photo).resize((64, 64)).save(tmp_path / "pictures" / "a.png")
    more = ("--coverage", "hard", "--size", 64, "--method", "telea", "-o", tmp_path / "report", "--json")
    told = json.loads(run("evaluate", "--images", tmp_path / "pictures", *more).out)
    assert list(told) == ["notes", "pairs", "page", "results"] and Path(told["page"]).is_file()
    (found,) = told["results"]["sets"]
    assert (found["class"], found["count"], found["methods"][0]["name"]) == ("hard", 1, "telea")
    assert "telea" in [method["name"] for method in json.loads(run("evaluate", "--list", "--json").out)["methods"]]


@pytest.mark.parametrize("columns", [80, 200])
def test_help_is_in_two_parts(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = start("-h").stdout
    assert text == start("--help").stdout and "\nCommands:" not in text
    fill, research = text[text.index("\nFill:") :].split("\nResearch:")
    for command in ("fill", "batch", "outpaint", "serve", "models"):
        assert f"\n  {command} " in fill
    for command in ("sample", "masks", "evaluate", "train", "data", "export", "weights"):
        assert f"\n  {command} " in research
    assert "..." not in text.replace("[ARGS]...", "")


def commands() -> list[str]:
    """All of them, with those of groups."""
    from typer.main import get_command

    from invertfill.cli import app

    found, waiting = [], [("", get_command(app))]
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", {})
        waiting.extend((f"{name} {one}".strip(), below[one]) for one in below)
        if not below:
            found.append(name)
    return sorted(found)


@pytest.mark.parametrize("command", commands())
def test_every_command_has_an_example_and_no_type_in_place_of_a_word(run, command: str) -> None:
    text = run(*command.split(), "-h").out
    assert f"  invertfill {command} " in text[text.index("Examples:") :] or command == "models"
    for word in ("<str>", "<path>", "<int", "<float", "TEXT", "INTEGER"):
        assert word not in text, word


def test_choices_are_shown(run) -> None:
    text = run("fill", "-h").out
    assert "--faces [auto|off]" in text and "--quality [fast|best]" in text


@pytest.mark.parametrize("command", ["fill", "batch"])
def test_both_names_of_the_mask(run, photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path, command) -> None:
    for name in ("--mask", "--masks"):
        out = tmp_path / name
        source = photo if command == "fill" else tmp_path / "*o.png"
        out.mkdir()
        result = run(command, source, name, mask, "-o", out, "--model", tiny_model_folder)
        assert result.status == 0 and (out / "photo.png").is_file()
    assert "--masks" not in run(command, "-h").out
    assert run(command, "a", "--maskss", "b", "-o", "c").status == 2


def test_completion_of_commands_options_and_choices() -> None:
    def complete(line: str) -> str:
        given = {"_INVERTFILL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
        code = "from invertfill.cli import main; main([])"
        command = [sys.executable, "-c", code]
        return subprocess.run(command, capture_output=True, text=True, env=environment() | given, timeout=60).stdout

    assert {"fill", "evaluate"} <= set(complete("invertfill ").split())
    assert "--no-clobber" in complete("invertfill fill --no").split()
    assert complete("invertfill fill --blend m").split() == ["membrane"]


def test_a_spinner_on_a_terminal_and_nothing_of_it_elsewhere(
    photo: Path, mask: Path, tmp_path: Path, tiny_model_folder: Path
) -> None:
    ours, theirs = pty.openpty()
    arguments = ["fill", photo, "--mask", mask, "-o", tmp_path / "out.png", "--model", tiny_model_folder]
    command = [sys.executable, "-m", "invertfill", *map(str, arguments)]
    env = environment() | {"TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=env, timeout=300)
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "filling" in shown and shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert done.stdout.count("\n") == 1 and "\x1b" not in done.stdout
