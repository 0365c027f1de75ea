"""What the tables of tables.py consist of: models, rows, tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from invertfill.errors import InputError

YARDSTICK = "mean"  # the row that a trained one has to be better than


@dataclass(frozen=True)
class Model:
    """What is trained.

    Attributes:
        overrides: of the configuration.
        joined: begins from a MI-GAN's layers, joined to the generator (recipes/faces-256/join_prior.py).
        network: another paper's, by its file in configs/baselines; "": InvertFill's, by configs/tables.yaml.
    """

    overrides: tuple[str, ...] = ()
    joined: bool = False
    network: str = ""


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        how: as `invertfill evaluate` names it; {NAME} is a trained model. "": --predictions has to bring it.
        paper: the paper's figures: of each class, by comma, or of all.
        before: the row that it differs from in one thing.
        blend: with which it is compared to that row.
        what: that thing, or what else is to be said.
    """

    how: str
    paper: str = "-"
    before: str = ""
    blend: str = "none"
    what: str = ""

    @property
    def trained(self) -> bool:
        return "{" in self.how


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        rows: by name.
        models: what they may name.
        coverage, kind: of the masks.
        overrides: of the configuration, for all models.
        folder: of what is trained; tables that share it share their models.
        minutes: of each training, unless --minutes says otherwise; None: it goes by steps.
        blend: as --blend takes it, which may say otherwise.
    """

    title: str
    rows: dict[str, Row]
    models: dict[str, Model]
    coverage: str
    folder: str
    kind: str = "freeform"
    overrides: tuple[str, ...] = ()
    minutes: float | None = None
    blend: str = "none,membrane"

    def beside(self, shipped: list[str], migan: Path | None, predictions: list[str]) -> Table:
        """With rows of what isn't trained here.

        Args:
            shipped: models by name or folder.
            migan: MI-GAN's pipeline.
            predictions: NAME=FOLDER, pictures that something else made of the pairs.

        Raises:
            InputError: a row of the name is there, or no such folder.
        """
        new = {Path(name).name: Row(f"--model={name}", what="as it ships") for name in shipped}
        if migan:
            new["migan"] = Row(f"--method=migan:file={migan}", what="as its authors trained it")
        for text in predictions:
            name, given, folder = text.partition("=")
            if not (name and given and Path(folder).is_dir()):
                raise InputError(f"--predictions {text}; accepted: NAME=FOLDER, a folder that is there")
            made = self.rows.get(name, Row("", what="made elsewhere"))
            new[name] = replace(made, how=made.how or f"--predictions={folder}")
        if there := [name for name in new if name in self.rows and self.rows[name].how]:
            raise InputError(f"{there[0]}: the table has a row of that name; accepted: another")
        return replace(self, rows=self.rows | new)

    def only(self, names: list[str]) -> Table:
        """With these rows, and the yardstick where the table has it. Raises InputError where there is no such row."""
        if unknown := [name for name in names if name not in self.rows]:
            raise InputError(f"--rows {unknown[0]}; accepted: {', '.join(self.rows)}")
        return replace(self, rows={name: row for name, row in self.rows.items() if name in (*names, YARDSTICK)})
