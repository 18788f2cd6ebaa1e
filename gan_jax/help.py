"""What ``--help`` prints: each option, what it is and its default, as wide as the terminal.

Of the same records that tyro parses; its own help takes twice the time, and lists what cannot be
chosen.
"""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import tyro

from gan_jax.config import comments
from gan_jax.names import FROM_DATA, NAMES

__all__ = ["POSITIONAL", "help_of"]

_COLUMN = 28  # where what an option is begins
(POSITIONAL,) = get_args(tyro.conf.Positional[str])[1:]  # how tyro marks one
_METAVARS = {int: "N", float: "X", str: "TEXT", tuple: "N ..."}

Entries = Iterator[tuple[str, str]]  # an option with what it takes, and what it is


def help_of(command: str, record: Any, width: int) -> str:
    """The help of a command.

    Args:
        command: which one.
        record: the class of its flags, or an instance with the defaults that hold.
        width: of the terminal, in columns.
    """
    entries = [*_entries(record, "")]
    positional = [entry for entry in entries if entry[0][0] != "-"]
    options = [entry for entry in entries if entry[0][0] == "-"]
    usage = " ".join(["usage: gan-jax", command, *(name for name, _ in positional), "[OPTIONS]"])
    kind = record if isinstance(record, type) else type(record)
    parts = [usage, textwrap.fill(inspect.getdoc(kind) or "", width)]
    if positional:
        parts.append(_table(positional, width))
    parts.append(_table([("-h, --help", "show this and stop"), *options], width))
    config = getattr(record, "values", None)
    if config is not None:
        parts += [_section(config, field, width) for field in dataclasses.fields(config)]
        parts.append("names (PLAYER: generator or discriminator)")
        names = [(flag, ", ".join(allowed)) for flag, allowed in NAMES.items()]
        parts.append(_table(names, width))
    return "\n\n".join(part for part in parts if part)


def _section(config: Any, field: dataclasses.Field, width: int) -> str:
    """The options of one part of a config."""
    part = getattr(config, field.name)
    if not dataclasses.is_dataclass(part):
        return ""
    told = comments(type(config)).get(field.name) or inspect.getdoc(type(part))
    title = textwrap.fill(told or "", width)
    return f"{title}\n{_table([*_entries(part, f'{_flag(field.name)}.')], width)}"


def _entries(record: Any, prefix: str) -> Entries:
    kind = record if isinstance(record, type) else type(record)
    told = comments(kind) | _docstrings(kind)
    for field in dataclasses.fields(record):
        default = getattr(record, field.name, None)
        if field.name == "values":
            if not isinstance(record, type):
                yield from _entries(default, prefix)
            continue
        name = f"{prefix}{_flag(field.name)}"
        if dataclasses.is_dataclass(default) or name in FROM_DATA:
            continue
        text = told.get(field.name, "")
        if isinstance(default, Mapping):
            held = ", ".join(f"{key} {value:g}" for key, value in default.items())
            yield f"--{name}.NAME X", f"{text}{f' (default: {held})' if held else ''}"
            continue
        yield _option(name, field.type), text + _shown(default)


def _option(name: str, hint: Any) -> str:
    """An option as it is given: its dashes, or none, and a word for its value."""
    marks = getattr(hint, "__metadata__", ())
    metavar = next((mark.metavar for mark in marks if getattr(mark, "metavar", None)), None)
    if POSITIONAL in marks:
        return metavar or f"[{name.upper()}]"
    bare = get_args(hint)[0] if marks else hint
    if bare is bool:
        both = tyro.conf.FlagCreatePairsOff not in marks
        place, _, last = name.rpartition(".")
        no = f"--{place}.no-{last}" if place else f"--no-{last}"
        return f"--{name}, {no}" if both else f"--{name}"
    return f"--{name} {metavar or _METAVARS[get_origin(bare) or bare]}"


def _shown(default: Any) -> str:
    """A default that says something."""
    if default is None or default is False or default == "":
        return ""
    words = default if isinstance(default, tuple) else (default,)
    return f" (default: {' '.join(map(str, words))})"


def _table(entries: list[tuple[str, str]], width: int) -> str:
    indent = " " * _COLUMN
    rows = []
    for name, text in entries:
        start = f"  {name}"
        if len(start) > _COLUMN - 2:
            rows.append(start)
            start = ""
        rows.append(
            textwrap.fill(
                text,
                max(width, _COLUMN + 20),
                initial_indent=start.ljust(_COLUMN),
                subsequent_indent=indent,
                break_on_hyphens=False,
            )
            or start.rstrip()
        )
    return "\n".join(rows)


def _docstrings(kind: type) -> dict[str, str]:
    """What stands below each field of a record of flags."""
    source = inspect.getsource(kind)
    return dict(re.findall(r'^    (\w+):.*\n    """(.*)"""$', source, re.MULTILINE))


def _flag(name: str) -> str:
    return name.replace("_", "-")
