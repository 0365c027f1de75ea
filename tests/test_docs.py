"""The documents hold: commands and snippets of README and the how-to pages run, their links lead somewhere.

Each page is one test in a folder of its own, with the example pictures under the names that pages use. What can't be
run says so in a comment above it, `<!-- not tested: why -->`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT, environment, serving
from PIL import Image, ImageOps

from invertfill import cli

PAGES = [
    "README.md",
    *(
        f"docs/{name}.md"
        for name in (
            "index",
            "remove",
            "masks",
            "portraits",
            "scratches",
            "extend",
            "samples",
            "many-files",
            "serve",
            "training",
            "known-pixels",
        )
    ),
]
LINKED = [*(f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")), *ROOT.glob("docs/**/*.md")]
RUN = ("invertfill", "python", "curl")
# They install, download or stay; what they bring is what this test runs with. Anything else has to be marked.
NOT_RUN = re.compile(r"\s*(make|pip|npm|git)\s|.*\binvertfill serve\b")
FENCED = re.compile(
    r"^(?P<indent> *)(?P<marker><!-- not tested: [^\n]+ -->\n *)?"
    r"```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
SIZE = 192, 192  # of the pictures, so that all boxes of the pages lie in them
SERVER = "http://127.0.0.1:8000"


class Block(NamedTuple):
    line: int
    language: str
    title: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """What of a page is to be run or written, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in FENCED.finditer(text):
        body = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        if not found["marker"] and (found["language"] in ("sh", "python") or found["title"]):
            yield Block(text[: found.start()].count("\n") + 1, found["language"], found["title"] or "", body)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the pages' reader works in."""
    monkeypatch.chdir(tmp_path)
    examples = ROOT / "examples"
    for name in ("examples", "configs", "benchmarks", "recipes"):
        (tmp_path / name).symlink_to(ROOT / name)
    photo = Image.open(examples / "landscape-aitzgorri.png").resize(SIZE)
    portrait = Image.open(examples / "portrait-hopper.png").resize(SIZE)
    mask = (
        Image.open(examples / "masks" / "portrait-hopper-box.png").convert("L").resize(SIZE, Image.Resampling.NEAREST)
    )
    scratches = Image.new("L", SIZE)
    scratches.paste(255, (30, 50, 160, 52))
    erased = photo.convert("RGBA")
    erased.putalpha(ImageOps.invert(mask))
    for names, picture in {
        ("photo.png", "photo.jpg", "scan.png"): photo,
        ("portrait.png",): portrait,
        ("cutout.png",): erased,
        ("mask.png", "tight.png"): mask,
        ("scratches.png",): scratches,
        ("black-is-hole.png",): ImageOps.invert(mask),
        ("small.png",): mask.reduce(2),
    }.items():
        for name in names:
            picture.save(tmp_path / name)
    for stem in ("1", "3", "2024-05/2"):
        for place, picture in (f"photos/{stem}.jpg", photo), (f"masks/{stem}.png", mask):
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / place)
    shutil.copytree(examples, tmp_path / "pictures", ignore=lambda *_: {"masks"})
    return tmp_path


def run_lines(text: str) -> None:
    """Run the lines of a block, as a shell would; those of the command in this process, to save its imports."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words or NOT_RUN.match(line):
            continue
        assert words[0] in RUN, f"{line}: accepted: {', '.join(RUN)}, or a comment that says why it isn't tested"
        if words[0] == "invertfill" and not set("|<>$*;&") & set(" ".join(words)):
            with pytest.raises(SystemExit) as end:
                cli.main(words[1:])
            assert not end.value.code, line
            continue
        line = re.sub(r"^curl\b", "curl --fail --silent --show-error", line)  # else a refusal ends in status 0, too
        variables = environment()
        variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables["PATH"]])
        done = subprocess.run(["bash", "-c", line], env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_to_run_runs(page: str, desk: Path) -> None:
    todo = list(blocks(page))
    assert todo, f"{page}: nothing to run; every page here shows something"
    for file in (block for block in todo if block.title):
        (desk / file.title).write_text(file.text, encoding="utf-8")
    served = any(SERVER in block.text for block in todo)
    with serving("--model", "auto") if served else nullcontext((None, SERVER)) as (_, address):
        for block in todo:
            print(f"{page}:{block.line}")
            text = block.text.replace(SERVER, address.rstrip("/"))
            if block.language == "sh":
                run_lines(text)
            elif block.language == "python":
                exec(compile(text, f"{page}:{block.line}", "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", LINKED, ids=str)
def test_links_lead_somewhere(page: Path | str) -> None:
    """In the repository, where people read the files, too; `make docs` checks those of the site, with their anchors."""
    path = ROOT / page
    targets = re.findall(r"\]\((?![a-z]+:)([^)\s#]+)", path.read_text(encoding="utf-8"))
    made = re.compile(r"(\.\./)?reference/[\w-]+\.md")  # when the site is built
    assert not [target for target in targets if not (path.parent / target).exists() and not made.fullmatch(target)]
