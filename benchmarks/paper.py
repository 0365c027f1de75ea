"""The paper's Tables 1 to 5, and a ladder from its recipe to what ships, with one's own pictures and budget.

    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 5 --out runs/tables --images data/faces/val --count 100 \\
        --seeds 0,1,2 --trunk faces-256 -- steps=300 prior=... codes=... code_metric=... data.path=data/faces/train
    INVERTFILL_WEIGHTS=weights python benchmarks/paper.py 1 --out runs/tables --images data/faces/val --count 100 \\
        --minutes 10 --shipped faces-256 -- prior=... codes=... code_metric=... data.path=data/faces/train
    make table-5 TABLE_ARGS="..."
    make table-ladder TABLE_ARGS="..."

Trains `configs/tables.yaml` once for each seed of each row that has to be trained, changed as the row says (tables.py),
exports it, and evaluates all rows on the same pairs: pasted, and with the same membrane for every method. What follows
`--` overrides the configuration of every row. It goes on where it was stopped, and a row that two tables share is
trained once. With `--trunk` all rows begin with the same trained trunk, pyramid and RGB heads, and only what differs
between them is new: a small budget isn't spent on what they share.

Tables 1, 3 and 4 also train networks of other papers (configs/baselines), each in its paper's way, but for as many
minutes as all others, on the same pictures and masks, as large as InvertFill's generator. `network.width=0.5` behind
`--` is for them alone. What isn't better than the mean colour, LPIPS AlexNet's interval and all, is called not trained
enough.

Figures are means over seeds and pictures, in brackets 95 % intervals over both. "To the row before" is the difference
of LPIPS AlexNet, with each row blended as it counts: where its interval holds 0, the rows can't be told apart. The
paper's figures stand beside, on other data, from another generator, after hundreds of times the budget: only the order
of the rows can be compared.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from machine import describe
from table_text import Text, label, trainings
from table_training import config_of, run_python, train
from tables import TABLES
from typer import Argument, Option

from invertfill.cli import run
from invertfill.errors import InputError
from invertfill.imaging.files import write_file


def main(
    number: Annotated[str, Argument(metavar=f"[{'|'.join(TABLES)}]", help="The table.")],
    images: Annotated[Path, Option(help="A folder of pictures to evaluate on.")],
    overrides: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="For every row.")] = None,
    out: Annotated[Path, Option(help="Runs, models and reports.")] = Path("runs/tables"),
    count: Annotated[int, Option(min=1, help="How many pictures, the first by name.")] = 100,
    seeds: Annotated[str, Option(help="Of the trainings, by comma.")] = "0",
    rows: Annotated[str, Option(help="These rows alone, by comma.")] = "",
    blend: Annotated[
        str | None,
        Option(help="How fills meet the known pixels, the same for all methods.", show_default="the table's"),
    ] = None,
    minutes: Annotated[
        float | None, Option(help="Of each training.", show_default="10 in Tables 1, 3 and 4, else by steps")
    ] = None,
    shipped: Annotated[list[str] | None, Option(help="A model to show beside, by name or folder.")] = None,
    migan: Annotated[Path | None, Option(help="MI-GAN's pipeline, to show it beside.")] = None,
    predictions: Annotated[list[str] | None, Option(help="NAME=FOLDER, fills of the pairs from elsewhere.")] = None,
    trunk: Annotated[str | None, Option(help="A model with the same encoder, by name or folder.")] = None,
    body: Annotated[str, Option(help="The MI-GAN of the ladder, a model's name or folder.")] = "scenery-256",
) -> None:
    """Train what a table needs, evaluate it, and print the table."""
    if number not in TABLES:
        raise InputError(f"table {number!r}; accepted: {', '.join(TABLES)}")
    table = TABLES[number].beside(shipped or [], migan, predictions or [])
    if chosen := [name for name in rows.split(",") if name]:
        table = table.only(chosen)
    try:
        numbers = list(dict.fromkeys(int(seed) for seed in seeds.split(",")))
    except ValueError:
        numbers = [-1]
    if min(numbers) < 0:
        raise InputError(f"--seeds {seeds}; accepted: whole numbers from 0 on, by comma")
    minutes, blend = table.minutes if minutes is None else minutes, blend or table.blend
    if minutes is not None and not 0 < minutes < math.inf:
        raise InputError(f"--minutes {minutes}; accepted: a number above 0")
    by_clock = [f"time_budget={minutes}"] if minutes else []
    by_clock += ["steps=1000000"] if table.minutes else []  # more than fit
    changes, place = [*by_clock, *(overrides or []), *table.overrides], out / table.folder
    size = config_of(changes).model.generator.size
    pairs = ["--images", images, "--coverage", table.coverage, "--kind", table.kind, "--size", size, "--count", count]
    evaluate = ["-m", "invertfill", "evaluate", *pairs, "--blend", blend]
    run_python(*evaluate, "--pairs", out / f"pairs-{number}")  # for border.py; and it ends here, if they can't be had
    report, abouts = out / f"report-{number}", dict[str, dict[str, Any]]()
    methods = [_option(row.how, name) for name, row in table.rows.items() if row.how and not row.trained]
    if shipped or migan or predictions:  # before hours of training: what is wrong with these is said now
        run_python(*evaluate, *methods, "-o", report)
    for name, row in table.rows.items():
        needed = [model for model in table.models if f"{{{model}}}" in row.how]
        for seed in numbers if needed else ():
            how = row.how
            for model in needed:
                folder = train(model, table.models[model], seed, place, changes, trunk, body)
                how = how.replace(f"{{{model}}}", str(folder))
                abouts[folder.name] = json.loads(folder.with_name(f"{folder.name}.json").read_text(encoding="utf-8"))
            methods.append(_option(how, label(name, row, seed, numbers)))
    run_python(*evaluate, *methods, "-o", report)
    text = f"""Table {number}: {table.title}

{Text(table, report, numbers, blend.split(","))}
{trainings(abouts)}
Command: `{shlex.join(["python", "benchmarks/paper.py", *sys.argv[1:]])}`. Seeds {seeds}. {describe("torch")}.
"""
    write_file(report / "table.md", text.encode())
    print(f"\n{text}")


def _option(how: str, name: str) -> str:
    """Of `invertfill evaluate`, with a row's name."""
    option, value = how.split("=", 1)
    return f"{option}={name}={value}"


if __name__ == "__main__":
    run(main)
