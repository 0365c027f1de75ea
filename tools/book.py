"""Hooks of mkdocs.yml: pages that come from elsewhere in the repository, and no load from outside.

Each fact has one home. A model card, a recipe, the changelog are pages as they are; the reference is made of the
command line, the docstrings, the endpoint's description and the configurations' schemas whenever the site is built.
"""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("faces-256", "photos-512", "scenery-256")
INCLUDED = {
    **{f"models/{name}.md": f"src/invertfill/weights/{name}/MODEL_CARD.md" for name in MODELS},
    **{f"research/recipes/{name}.md": f"recipes/{name}/README.md" for name in MODELS},
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "credits.md": "examples/CREDITS.md",
    "images/icon.svg": "src/invertfill/serve/page/icon.svg",
}
WIDE = {"research/training-log.md"}  # its table needs the room of the page's contents
PAGES = {source: page for page, source in INCLUDED.items()}

LIMITS = ("gt", "above"), ("ge", "from"), ("lt", "and below"), ("le", "to")
LINK = re.compile(r"(?P<text>\[[^\]]*\])\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")
LOADS = re.compile(r"<(?:script|img|iframe|source|video|audio|link)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
STYLE_LOADS = re.compile(r"(?:url\(|@import\s)[\"']?(?:https?:)?//[^)\"']*")

log = get_plugin_logger("book")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, source in INCLUDED.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for page, made in (
        ("command-line", command_line),
        ("python", python),
        ("http", http),
        ("configuration", configuration),
    ):
        files.append(File.generated(config, f"reference/{page}.md", content="\n\n".join(made()) + "\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links are written as they hold in the repository; here they become those between pages."""
    here = page.file.src_uri
    if here in WIDE:
        page.meta["hide"] = ["toc"]
    source = Path(INCLUDED.get(here, f"docs/{here}"))

    def relinked(match: re.Match[str]) -> str:
        text, target, anchor = match.group("text", "target", "anchor")
        if re.match(r"[a-z]+:", target):
            return match[0]
        path = os.path.normpath(source.parent / target)
        wanted = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
        if wanted is not None:
            return f"{text}({os.path.relpath(wanted, Path(here).parent)}{anchor or ''})"
        if (ROOT / path).exists():  # the site has no page of it
            return text[1:-1]
        log.warning(f"{source}: a link to {target}, which isn't there")
        return match[0]

    return LINK.sub(relinked, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Names and options don't break at their hyphens."""
    return re.sub(r"<code>([^<]{1,16}|[^<\s]{1,30})</code>", r'<code class="word">\1</code>', html)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    if found := LOADS.search(output):
        raise PluginError(f"{page.file.src_uri}: loads from outside: {found[0]}")
    return output


def on_post_build(config: MkDocsConfig) -> None:
    for path in Path(config.site_dir).rglob("*.css"):
        if found := STYLE_LOADS.search(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path.name}: loads from outside: {found[0]}")


def defined(term: str, *lines: str) -> str:
    """One entry of a definition list."""
    return f"{term}\n:   " + "\n\n    ".join(line for line in lines if line)


def sentences(*parts: str) -> str:
    return " ".join(filter(None, parts))


# The command line


def command_line() -> Iterator[str]:
    from invertfill.cli import app

    yield "# Command line"
    yield (
        "What `invertfill COMMAND --help` prints. Bad input ends in one line on standard error and status 2. "
        "Where some pictures of many failed, the status is 1; after Ctrl-C it is 130."
    )
    root = typer.main.get_command(app)
    for context in _commands(click.Context(root, info_name="invertfill")):
        command = context.command
        yield f"## {context.command_path}"
        yield inspect.cleandoc(command.help or "")
        yield "```text\n" + " ".join([context.command_path, *command.collect_usage_pieces(context)]) + "\n```"
        if command.epilog:  # its examples
            yield f"```sh\n{inspect.cleandoc(command.epilog.partition('Examples:')[2])}\n```"
        for parameter in command.params:
            if entry := _parameter(parameter, context):
                yield entry


def _commands(context: click.Context) -> Iterator[click.Context]:
    children = getattr(context.command, "commands", None)
    if children is None:
        yield context
        return
    for name, child in children.items():
        yield from _commands(click.Context(child, info_name=name, parent=context))


def _parameter(parameter: Any, context: click.Context) -> str:
    metavar = parameter.make_metavar(context)
    if parameter.param_type_name == "argument":
        return defined(f"`{metavar}`", getattr(parameter, "help", "") or "")
    flags = ", ".join(f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts])
    value = "" if parameter.is_flag else f" `{metavar}`"
    default = parameter.default
    said = "" if default in (None, False, "", ()) or callable(default) else f"Default: `{default}`."
    needed = "Required." if parameter.required else ""
    return defined(flags + value, parameter.help or "", said or needed)


# Python


def python() -> Iterator[str]:
    from invertfill.options import DECLARED, DEFAULTS

    yield "# Python"
    yield (
        "What `import invertfill` gives. [From Python](../python.md) shows how to use it. Nothing heavy is imported "
        'before you call `load`, and torch only if you ask for its engine or for `quality="best"`.'
    )
    yield "::: invertfill.load"
    yield '::: invertfill.Inpainter\n    options:\n      filters: ["!^_", "!^only$", "!^engine"]'
    yield "::: invertfill.FillResult"
    yield "## FillOptions"
    yield (
        "The options of a fill. `load` takes all of them as keywords; `fill` and its neighbours take those that need "
        "no other model. The command line and HTTP have them under the same names."
    )
    for name, option in DECLARED.items():
        accepted = " or ".join(f"`{choice!r}`" for choice in option.choices)
        if option.low is not None:
            accepted = f"{option.low:,} to {option.high:,}" if option.high else f"{option.low} or more"
        where = "Given to `load` only." if option.at_load else ""
        yield defined(
            f"`{name}`",
            option.help,
            " ".join(
                filter(None, [f"Accepted: {accepted}." if accepted else "", f"Default: `{DEFAULTS[name]!r}`.", where])
            ),
        )
    yield "::: invertfill.Client"
    yield "::: invertfill.InputError"


# HTTP


def http() -> Iterator[str]:
    from invertfill.options import AUTO
    from invertfill.serve.app import create_app
    from invertfill.serve.settings import Settings

    described = create_app(Settings((AUTO,))).openapi()
    yield "# HTTP"
    yield (
        "What `invertfill serve` answers, from its OpenAPI description, which a running server has at `/docs` and "
        "`/openapi.json`. [The page, and a server](../serve.md) shows how to use it."
    )
    for path, methods in sorted(described["paths"].items(), key=lambda item: "post" not in item[1]):
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}"
            yield operation.get("summary", "")
            yield operation.get("description", "")
            bodies = operation.get("requestBody", {}).get("content", {})
            if bodies:
                yield "Body: " + " or ".join(f"`{kind}`" for kind in bodies) + "."
                schema = _resolved(next(iter(bodies.values()))["schema"], described)
                required = schema.get("required", [])
                for name, field in schema["properties"].items():
                    yield _field(name, field, name in required)
            yield "| status | answer |\n|---|---|\n" + "\n".join(
                f"| {status} | {answer['description']} |" for status, answer in operation["responses"].items()
            )


def _resolved(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    while reference := schema.get("$ref"):
        schema = described["components"]["schemas"][reference.rpartition("/")[2]]
    return schema


def _field(name: str, field: dict[str, Any], required: bool) -> str:
    kinds = [one for one in field.get("anyOf", [field]) if one.get("type") != "null"]
    kind = kinds[0]
    if "enum" in kind or "const" in kind:
        accepted = " or ".join(f"`{value}`" for value in kind.get("enum", [kind.get("const")]))
    elif kind.get("contentEncoding") or kind.get("format") == "binary":
        accepted = "a file"
    else:
        accepted = kind.get("type", "")
        if "items" in kind:
            accepted = f"{kind['items'].get('type', 'value')}, repeatable"
        low, high = (next((one[key] for one in (kind, field) if key in one), None) for key in ("minimum", "maximum"))
        if low is not None:
            accepted += f", {low:,.0f} to {high:,.0f}" if high is not None else f", {low:g} or more"
    default = field.get("default")
    said = f"Default: `{json.dumps(default)}`." if default not in (None, "", [], ()) else ""
    needed = "Required." if required else ""
    kind_said = f"{accepted[0].upper()}{accepted[1:]}." if accepted else ""
    return defined(f"`{name}`", field.get("description", ""), sentences(kind_said, said, needed))


# Configurations of training


def configuration() -> Iterator[str]:
    from invertfill.training.config import GanConfig, InversionConfig, RunConfig

    yield "# Training configuration"
    yield (
        "The keys of a YAML file of `invertfill train`. Each can also be set behind the file, as in "
        "`optimizer.lr=1e-4`. An unknown key or a bad value ends in one line that names it. "
        "[Train your own model](../training.md) explains the important ones."
    )
    for title, schema, known in (
        ("Both stages", RunConfig, None),
        ("Stage 1: `train gan`", GanConfig, RunConfig),
        ("Stage 2: `train inversion`", InversionConfig, RunConfig),
    ):
        yield f"## {title}"
        yield from _section(schema, "", set(known.model_fields) if known else set())


def _section(schema: type[BaseModel], prefix: str, without: set[str]) -> Iterator[str]:
    notes = _comments(schema)
    below = []
    for name, field in schema.model_fields.items():
        if name in without or name == "stage":
            continue
        if parts := _sections_of(field.annotation):
            below += [(f"{prefix}{name}", part, len(parts) > 1) for part in parts]
            continue
        default = "Required." if field.is_required() else f"Default: `{_plain(field.default)}`."
        yield defined(f"`{prefix}{name}`", notes.get(name, ""), f"{_accepted(field)} {default}")
    for key, part, several in below:
        kind = part.model_fields["kind"].default if several else None
        yield (
            f"### `{key}`" + (f", kind `{kind}`" if kind else "") + f" {{ #{schema.__name__}-{key}-{kind or 'keys'} }}"
        )
        yield inspect.cleandoc(part.__doc__ or "").partition("\n\nAttributes:")[0]
        yield from _section(part, f"{key}.", set())


def _sections_of(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found = [part for argument in get_args(annotation) for part in _sections_of(argument)]
    return found


def _accepted(field: FieldInfo) -> str:
    kinds = get_args(field.annotation) if get_origin(field.annotation) in (Union, UnionType) else (field.annotation,)
    words = " or ".join(_kind(kind, field.metadata) for kind in kinds if kind is not type(None))
    return f"{words[0].upper()}{words[1:]}."


def _kind(kind: Any, bounds: Sequence[Any]) -> str:
    """In words, such as "a number above 0"."""
    if get_origin(kind) is Annotated:
        kind, bounds = kind.__origin__, kind.__metadata__
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) in (list, tuple):
        return f"a list: {_kind(get_args(kind)[0], ())} each"
    words = {int: "a whole number", float: "a number", bool: "true or false", Path: "a path", str: "text"}[kind]
    limits = [limit for bound in bounds for limit in getattr(bound, "metadata", [bound])]
    said = [f"{word} {getattr(limit, name)}" for limit in limits for name, word in LIMITS if hasattr(limit, name)]
    return sentences(words, *said)


def _plain(value: Any) -> str:
    if value is PydanticUndefined or value is None:
        return "none"
    return json.dumps(value, default=str)


def _comments(schema: type[BaseModel]) -> dict[str, str]:
    """What the source says of each field: the comment behind it, above it, or its line under Attributes."""
    notes: dict[str, str] = {}
    for ancestor in reversed(schema.__mro__[: schema.__mro__.index(BaseModel)]):
        attributes = inspect.cleandoc(ancestor.__doc__ or "").partition("Attributes:\n")[2]
        for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", attributes, re.MULTILINE):
            notes |= dict.fromkeys(names.split(", "), " ".join(text.split()))
        above: list[str] = []
        for line in inspect.getsource(ancestor).splitlines():
            if comment := re.fullmatch(r" {4}# (.*)", line):
                above.append(comment[1])
            elif field := re.match(r" {4}(\w+): .*?(?:  # (.*))?$", line):
                if text := " ".join([*above, *([field[2]] if field[2] else [])]):
                    notes[field[1]] = text
                above = []
            else:
                above = []
    return {name: f"{_begun(text.removesuffix('.'))}." for name, text in notes.items() if text}


def _begun(text: str) -> str:
    """With a capital, unless it begins with a value or a name of the code."""
    return text if re.match(r"[\w.]+:|\w+\.\w", text) else text[0].upper() + text[1:]
