"""Writes the tables of docs/settings.md, verbs.md, exit-codes.md and others from the code.

    python -m fileroom.cli.reference docs

A page keeps its own text; only what stands between its two marks is written again. Files are
written whole.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from fileroom.cli import conformance_statement
from fileroom.cli.exit_codes import ExitCode
from fileroom.cli.main import VERBS, application
from fileroom.http import openapi
from fileroom.node.config import PREFIX, is_live, meta_of, sections
from fileroom.node.resources import TABLE
from fileroom.node.settings import Section, Settings

BEGIN = "<!-- made by `make docs`: begin -->"
END = "<!-- made by `make docs`: end -->"
TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def settings_table() -> str:
    """Every key: what it is, what it may be, its default, its variable, whether SIGHUP takes it."""
    return "\n".join(_settings_lines())


def exit_code_table() -> str:
    """Every exit code and what it means."""
    rows = [f"| {int(code)} | {code.name} | {code.meaning} |" for code in ExitCode]
    return "\n".join(["| code | name | meaning |", "|---|---|---|", *rows])


def verb_table() -> str:
    """Every verb with its arguments, its flags and an example."""
    return "\n".join(_verb_lines())


PAGES = {
    "settings.md": settings_table,
    "verbs.md": verb_table,
    "exit-codes.md": exit_code_table,
    "conformance-statement.md": conformance_statement.tables,
}


FILES = {"openapi.json": partial(openapi.encoded, TABLE)}


def rewritten(page: str, table: str) -> str:
    """`page` with `table` between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page has no mark where the table begins"
    assert end, "the page has no mark where the table ends"
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def write(folder: Path) -> None:
    """Write the tables into the pages of `folder`, and its files."""
    for name, table in PAGES.items():
        path = folder / name
        path.write_text(rewritten(path.read_text(encoding="utf-8"), table()), encoding="utf-8")
    for name, encoded in FILES.items():
        (folder / name).write_bytes(encoded())


def _settings_lines() -> Iterator[str]:
    for table, struct in sections():
        yield f"### [{table}]"
        yield ""
        yield (struct.__doc__ or "").splitlines()[0]
        yield ""
        yield "| key | value | default | variable | SIGHUP | what it is |"
        yield "|---|---|---|---|---|---|"
        defaults = getattr(Settings(), table, None)
        for key in struct.__struct_fields__:
            default = (
                f"`{_toml(getattr(defaults, key))}`" if defaults else _named_default(struct, key)
            )
            variable = f"`{PREFIX}{table.replace('.', '_')}_{key}`".upper()
            is_taken = is_live(struct, key) or table.removesuffix(".NAME") in Settings.LIVE_NAMED
            live = "yes" if is_taken else "restart"
            meta = meta_of(struct, key)
            yield (
                f"| `{key}` | {_value_of(struct, key, meta)} | {default} | {variable} | {live} "
                f"| {meta.description} |"
            )
        yield ""


def _named_default(struct: type[Section], key: str) -> str:
    field = next(each for each in msgspec.structs.fields(struct) if each.name == key)
    if field.required:
        return "must be given"
    is_made = field.default is msgspec.NODEFAULT
    return f"`{_toml(field.default_factory() if is_made else field.default)}`"


def _value_of(struct: type[Section], key: str, meta: msgspec.Meta) -> str:
    hint = get_type_hints(struct)[key]
    if get_origin(hint) is Literal:
        return " or ".join(f"`{each}`" for each in get_args(hint))
    if get_origin(hint) is list:
        return "list of texts; in a variable, with commas"
    limits = [
        f"{word} {value:,}".replace(",", " ")
        for word, value in (
            ("from", meta.ge),
            ("above", meta.gt),
            ("to", meta.le),
            ("below", meta.lt),
        )
        if value is not None
    ]
    return " ".join([TYPES[hint], *limits])


def _toml(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _verb_lines() -> Iterator[str]:
    app = application()
    for verb in VERBS:
        command = app
        for word in verb.name.split():
            command = command[word]
        yield f"### fileroom {verb.name}"
        yield ""
        yield verb.does
        yield ""
        yield f"    {verb.example}"
        yield ""
        yield "| argument or flag | what it is |"
        yield "|---|---|"
        for argument in command.assemble_argument_collection():
            if not argument.show:
                continue
            parameter = argument.parameter
            positional = argument.field_info.kind in {
                argument.field_info.POSITIONAL_ONLY,
                argument.field_info.VAR_POSITIONAL,
            }
            name = argument.field_info.name.upper() if positional else ", ".join(argument.names)
            told = parameter.help or ("what it acts on" if positional else "")
            yield f"| `{name}` | {told} |"
        yield ""


if __name__ == "__main__":
    write(Path(sys.argv[1]))
