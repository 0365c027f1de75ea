"""The options of `FillOptions` at the command line, for whichever command takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from invertfill.options import DECLARED, DEFAULTS, FillOptions, type_of

RESEARCH = "Research"  # the part of the help that a command belongs to; without it, that of filling


def examples(*commands: str) -> str:
    """The end of a command's help."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])


def takes_options(*but: str, at_load: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a fill; it gets them as its argument `options`.

    Args:
        but: names of options that the command doesn't take.
        at_load: take those alone that are decided when the model is loaded.
    """
    names = [
        name
        for name, option in DECLARED.items()
        if "cli" in option.doors and name not in but and (option.at_load or not at_load)
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def with_options(**given: Any) -> None:
            options = FillOptions(**{name: given.pop(name) for name in names})
            command(**given, options=options)

        parameters = inspect.signature(command, eval_str=True).parameters
        taken = {name: Annotated[list[str] if DECLARED[name].parse else type_of(name), _option(name)] for name in names}
        own = {name: parameter for name, parameter in parameters.items() if name != "options"}
        with_options.__annotations__ = {name: parameter.annotation for name, parameter in own.items()} | taken
        with_options.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # Typer reads it
            [
                *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own.values()),
                *(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=kind)
                    for name, kind in taken.items()
                ),
            ]
        )
        return with_options

    return decorate


def _option(name: str) -> Any:
    option = DECLARED[name]
    flag = f"--{name.replace('_', '-')}"
    choices = f"[{'|'.join(option.choices)}]" if option.choices else ""
    completion = (lambda: list(option.choices)) if option.choices else None
    return typer.Option(flag, help=option.help, metavar=choices or option.unit or None, autocompletion=completion)
