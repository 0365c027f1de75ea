"""Words that a reader stumbles over, in whatever a person reads: documents, help, messages, docstrings, comments."""

from __future__ import annotations

import re
import subprocess

import pytest
from conftest import ROOT

STUMBLES = r"so many|as far as|of which|by itself|lest|whoever"
KINDS = ("*.py", "*.md", "*.yaml", "*.toml", "*.js", "*.html", "*.css")


def test_nobody_stumbles() -> None:
    listed = subprocess.run(["git", "ls-files", *KINDS], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in listed.stdout.splitlines()
        if name != "tests/test_words.py"
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1)
        if re.search(rf"\b({STUMBLES})\b", line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)
