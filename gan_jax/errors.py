"""Mistakes in what the user gave: said in one line that stands alone, shown without a traceback."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

__all__ = ["InputError", "lookup", "suggestion"]

Entry = TypeVar("Entry")


class InputError(ValueError):
    """A mistake in what the user gave: names the field or file, what was found, what is allowed."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'digits'?"``, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def lookup(field: str, name: str, table: Mapping[str, Entry]) -> Entry:
    """The entry of that name.

    Raises:
        InputError: no such entry; the message names the field and all that is allowed.
    """
    if not isinstance(name, str) or name not in table:
        allowed = ", ".join(table)
        raise InputError(f"{field}: {name!r} is not one of {allowed}{suggestion(str(name), table)}")
    return table[name]
