"""The plan of the house in CONTRIBUTING.md, drawn from the import contracts in pyproject.toml.

python tools/house_plan.py docs/images/house.svg
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated
from xml.sax.saxutils import escape

from typer import Argument

from invertfill.cli import run

CONTRACTS = Path(__file__).parents[1] / "pyproject.toml"
# Pixels: of the drawing, around it, of a floor and between floors, between boxes.
WIDTH, MARGIN, FLOOR, STEP, GAP = 720, 24, 36, 18, 12
SIDE = 36  # for the arrow on the left
STYLE = """
  .ground { fill: #fbfaf8 }
  .box { fill: #e2edf7; stroke: #2c6496; stroke-width: 1.5 }
  .torch { fill: #fbe3ec; stroke: #b3245e }
  .way { fill: none; stroke: #5b5b66; stroke-width: 2 }
  .head { fill: #5b5b66 }
  text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #22222a; text-anchor: middle }
  .name { font-weight: 600 }
  .left { text-anchor: start }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #1d1e26 }
    .box { fill: #1f3a52; stroke: #86bdec }
    .torch { fill: #4a2234; stroke: #ff8fb6 }
    .way { stroke: #a9abb8 }
    .head { fill: #a9abb8 }
    text { fill: #f0f0f4 }
  }
"""


def floors(contracts: list[dict]) -> list[list[str]]:
    """Modules of the first level, from the top floor down."""
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.split("|")] for layer in layers]


def without_torch(contracts: list[dict]) -> set[str]:
    """Those that never import torch, not even through others."""
    found: set[str] = set()
    for contract in contracts:
        strict = contract["type"] == "forbidden" and not contract.get("allow_indirect_imports")
        if strict and "torch" in contract["forbidden_modules"]:
            found |= {module.removeprefix("invertfill.") for module in contract["source_modules"]}
    return found


def box(x: float, y: int, width: float, name: str, kind: str) -> str:
    middle = f'x="{x + width / 2:.1f}" y="{y + 23}"'
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{FLOOR}" rx="8"/>\n'
        f'<text class="name" {middle}>{escape(name)}</text>\n'
    )


def draw(contracts: list[dict]) -> str:
    """The drawing, SVG."""
    plan, free = floors(contracts), without_torch(contracts)
    parts, y, left = [], MARGIN, MARGIN + SIDE
    for floor in plan:
        width = (WIDTH - MARGIN - left - GAP * (len(floor) - 1)) / len(floor)
        for index, name in enumerate(floor):
            parts.append(box(left + index * (width + GAP), y, width, name, "box" if name in free else "box torch"))
        y += FLOOR + STEP
    parts.append(f'<path class="way" d="M{MARGIN + 8} {MARGIN}V{y - STEP}" marker-end="url(#to)"/>\n')
    for kind, text in (
        ("box", "imports no torch, not even through others"),
        ("box torch", "may import torch"),
    ):
        parts.append(f'<rect class="{kind}" x="{left}" y="{y}" width="20" height="20" rx="5"/>\n')
        parts.append(f'<text class="left" x="{left + 30}" y="{y + 15}">{text}</text>\n')
        y += 28
    height = y + MARGIN - 8
    said = "; ".join(" and ".join(floor) for floor in plan)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-labelledby="title desc">\n<title id="title">Who may import whom in invertfill</title>\n'
        f'<desc id="desc">Floors, from the top down; each may import those below it: {escape(said)}.</desc>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="to" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="head" d="M0 0 10 5 0 10z"/></marker></defs>\n'
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="12"/>\n{"".join(parts)}</svg>\n'
    )


def main(out: Annotated[Path, Argument(help="The drawing, SVG.")]) -> None:
    """Draw the plan."""
    contracts = tomllib.loads(CONTRACTS.read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    out.write_text(draw(contracts), encoding="utf-8")


if __name__ == "__main__":
    run(main)
