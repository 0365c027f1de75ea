"""The page of the package index: the README, with links that lead to the repository.

The repository's address has one home: `repository` in pyproject.toml, under `tool.hatch.metadata.hooks.custom`. While
it is empty, the page has no links to files and no pictures, so that none of them is broken.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

RELATIVE = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!https?:|#)(?P<target>[^)\s]+)\)")
# Of the default branch, as GitHub and GitLab lay addresses out.
FILE, PICTURE = "blob/HEAD", "raw/HEAD"


def absolute(markdown: str, repository: str) -> str:
    """Relative links lead into the repository; without its address they become plain text."""

    def link(match: re.Match[str]) -> str:
        picture, text, target = match.group("picture", "text", "target")
        if not repository:
            return f"*Picture: {text}.*" if picture else text
        return f"{picture}[{text}]({repository}/{PICTURE if picture else FILE}/{target})"

    return RELATIVE.sub(link, markdown)


class PackagePage(MetadataHookInterface):
    def update(self, metadata: dict[str, Any]) -> None:
        repository = self.config["repository"].rstrip("/")
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, repository)}
        metadata["urls"] = {}
        if repository:
            metadata["urls"] = {"Repository": repository, "Changelog": f"{repository}/{FILE}/CHANGELOG.md"}
