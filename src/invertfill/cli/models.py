"""What is installed: ``invertfill models``."""

from __future__ import annotations

import typer

from invertfill.options import AUTO

app = typer.Typer()


@app.command()
def models() -> None:
    """List the models of this installation."""
    from invertfill.registry import find_models, list_models

    found = [*find_models(AUTO), *(model for model in list_models() if model.early)]
    print(f"{AUTO} (default)\n  one of these, for each picture the best")
    for model in found:
        print(model.name + (f" (early: its training goes on; {AUTO} leaves it out)" if model.early else ""))
        print(f"  domain   {model.domain}")
        print(f"  size     {model.size} px, {model.bytes / 1e6:.1f} MB")
        print(f"  licence  {model.licence}")
        print(f"  source   {model.source}")
        print(f"  SHA-256  {model.sha256}")
