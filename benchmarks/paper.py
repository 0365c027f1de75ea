"""The paper's Tables 2 to 5, and a ladder from its recipe to what ships, with one's own pictures and budget.

    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 5 --out runs/tables --images data/faces/val --count 100 \\
        --seeds 0,1,2 --trunk faces-256 -- steps=300 prior=... codes=... code_metric=... data.path=data/faces/train
    make table-5 TABLE_ARGS="..."
    make table-ladder TABLE_ARGS="..."

Trains `configs/tables.yaml` once for each seed of each row that has to be trained, changed as the row says (tables.py),
exports it, and evaluates all rows on the same pairs: pasted, and with the same membrane for every method. What follows
`--` overrides the configuration of every row. It goes on where it was stopped, and a row that two tables share is
trained once. With `--trunk` all rows begin with the same trained trunk, pyramid and RGB heads, and only what differs
between them is new: a small budget isn't spent on what they share.

Figures are means over seeds and pictures, in brackets 95 % intervals over both. "To the row before" is the difference
of LPIPS AlexNet, with each row blended as it counts: where its interval holds 0, the rows can't be told apart. The
paper's figures stand beside, on other data, from another generator, after hundreds of times the budget: only the order
of the rows can be compared.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from machine import describe
from table_text import Text, label
from table_training import CONFIG, run_python, train
from tables import TABLES
from typer import Argument, Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.imaging.files import write_file
from invertfill.training.config import InversionConfig, load_config


def main(
    number: Annotated[str, Argument(metavar=f"[{'|'.join(TABLES)}]", help="The table.")],
    images: Annotated[Path, Option(help="A folder of pictures to evaluate on.")],
    overrides: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="For every row.")] = None,
    out: Annotated[Path, Option(help="Runs, models and reports.")] = Path("runs/tables"),
    count: Annotated[int, Option(min=1, help="How many pictures, the first by name.")] = 100,
    seeds: Annotated[str, Option(help="Of the trainings, by comma.")] = "0",
    rows: Annotated[str, Option(help="These rows alone, by comma.")] = "",
    blend: Annotated[str, Option(help="How fills meet the known pixels, the same for all methods.")] = "none,membrane",
    trunk: Annotated[str | None, Option(help="A model with the same encoder, by name or folder.")] = None,
    body: Annotated[str, Option(help="The MI-GAN of the ladder, a model's name or folder.")] = "scenery-256",
) -> None:
    """Train what a table needs, evaluate it, and print the table."""
    if number not in TABLES:
        raise InputError(f"table {number!r}; accepted: {', '.join(TABLES)}")
    table, chosen = TABLES[number], [name for name in rows.split(",") if name]
    if unknown := [name for name in chosen if name not in table.rows]:
        raise InputError(f"--rows {unknown[0]}; accepted: {', '.join(table.rows)}")
    try:
        numbers = list(dict.fromkeys(int(seed) for seed in seeds.split(",")))
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0:
        raise InputError(f"--seeds {seeds}; accepted: whole numbers from 0 on, by comma")
    if chosen:
        table = replace(table, rows={name: row for name, row in table.rows.items() if name in chosen})
    changes, place = [*(overrides or []), *table.overrides], out / table.folder
    size = load_config(InversionConfig, CONFIG, changes).model.generator.size
    pairs = ["--images", images, "--coverage", table.coverage, "--kind", table.kind, "--size", size, "--count", count]
    evaluate = ["-m", "invertfill", "evaluate", *pairs, "--blend", blend]
    run_python(*evaluate, "--pairs", out / f"pairs-{number}")  # for border.py; and it ends here, if they can't be had
    methods: list[str] = []
    for name, row in table.rows.items():
        for seed in numbers:
            needed = [model for model in table.models if f"{{{model}}}" in row.how]
            folders = {m: str(train(m, table.models[m], seed, place, changes, trunk, body)) for m in needed}
            option, method = row.how.format(**folders).split("=", 1)
            methods.append(f"{option}={label(name, row, seed, numbers)}={method}")
    report = out / f"report-{number}"
    run_python(*evaluate, *dict.fromkeys(methods), "-o", report)

    minutes = {
        about.stem: json.loads(about.read_text(encoding="utf-8"))["minutes"] for about in sorted(place.glob("*.json"))
    }
    text = f"""Table {number}: {table.title}

{Text(table, report, numbers, blend.split(","))}
Command: `{shlex.join(["python", "benchmarks/paper.py", *sys.argv[1:]])}`. Seeds {seeds}. {describe("torch")}.
Minutes of training: {", ".join(f"{name} {value:.1f}" for name, value in minutes.items()) or "none"}.
"""
    write_file(report / "table.md", text.encode())
    print(f"\n{text}")


if __name__ == "__main__":
    run(main)
