"""What each command may be told, and flags that have to be known before tyro parses the rest."""

import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro

from gan_jax.config import Config
from gan_jax.errors import InputError
from gan_jax.help import POSITIONAL, help_of
from gan_jax.names import NAMES

__all__ = [
    "BenchmarkFlags",
    "EvaluateFlags",
    "RecipesFlags",
    "ResumeFlags",
    "SampleFlags",
    "TrainFlags",
    "integers",
    "parse",
    "take_weights",
    "value_of",
]


Flags = TypeVar("Flags")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """Train a GAN; leaves pictures, curves and a resumable checkpoint in a run folder."""

    config: Annotated[Path | None, tyro.conf.arg(metavar="FILE.toml")] = None
    """Values in place of the recipe's; flags replace both."""
    run_dir: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The run's folder; by default runs/<recipe>-<dataset>-<number>."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Where to stop, in passes over the training rows, in place of --steps."""
    print_config: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the whole config as TOML, and stop."""
    values: Annotated[Config, tyro.conf.arg(name="")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResumeFlags:
    """Go on with a run from its newest checkpoint, as if it had never stopped."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """The run's folder."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """The new total; by default what its config.toml says."""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="NAME|PATH")] = None
    """Where the same data are by now, if they have moved."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Where tensorflow-datasets keeps them by now."""
    stop_when: Annotated[str | None, tyro.conf.arg(metavar="WORDS")] = None
    """The verdicts that end it from now on; '' for none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleFlags:
    """Draw samples from a run's generator."""

    run: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """The run's folder."""
    count: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """How many."""
    output: Annotated[Path, tyro.conf.arg(metavar="FILE")] = Path("samples.png")
    """A .png picture, or an .npz file with `images` (uint8) or `samples` (float32)."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """The same seed draws the same samples."""
    temperature: Annotated[float | None, tyro.conf.arg(metavar="X")] = None
    """How far its normal latents deviate, in place of the run's own; in training it is 1."""
    label: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Of this class only; the run's generator has to be conditional."""
    labels: Annotated[str | None, tyro.conf.arg(metavar="N,N,...")] = None
    """Of these classes, one after the other; by default all, where it is conditional."""
    category: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Of this category of its latents only, as `infogan` and `gan` have them."""
    categories: Annotated[str | None, tyro.conf.arg(metavar="N,N,...")] = None
    """Of these, one after the other; by default each sample is of any."""
    best: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """From the best checkpoint by the run's evaluations, in place of the newest."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateFlags:
    """Tell whether a GAN works: figures, each beside its anchors, and a verdict in words."""

    run: tyro.conf.Positional[Annotated[Path | None, tyro.conf.arg(metavar="[RUN]")]] = None
    """The run's folder; not needed with --samples and --against."""
    samples: Annotated[Path | None, tyro.conf.arg(metavar="FILE.npz")] = None
    """Judge these: `images` (uint8) or `samples` (float32), any `labels`, from any program."""
    against: Annotated[str | None, tyro.conf.arg(metavar="NAME|PATH")] = None
    """The data to compare with; by default what the run was trained on."""
    data_dir: Annotated[str, tyro.conf.arg(metavar="DIR")] = ""
    """Where tensorflow-datasets keeps its files."""
    full: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """10,000 samples, in place of 2,000, never more than there are test rows; and slow figures."""
    best: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """The best checkpoint by the run's evaluations, in place of the newest."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object on standard output."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchmarkFlags:
    """Time the training steps of a recipe on this device, in turns with their bare products."""

    recipe: Annotated[str, tyro.conf.arg(metavar="NAME")] = "gan"
    """Which recipe, at its own sizes, on the digits."""
    population: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Also time so many GANs trained as one program."""
    steps: Annotated[int, tyro.conf.arg(metavar="N")] = 500
    """Steps of each turn."""
    turns: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Turns of each; the median counts."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecipesFlags:
    """List the recipes, or print one whole."""

    name: tyro.conf.Positional[str] = ""
    """Which one to print as TOML, with comments."""


def parse(
    command: str, kind: type[Flags], arguments: Sequence[str], default: Flags | None = None
) -> Flags:
    """What a command was told.

    Args:
        command: whose flags they are.
        kind: the class of its flags.
        arguments: what was given.
        default: what holds for flags not given, in place of the class's own.

    Raises:
        InputError: no such flag, or a value that cannot be one: in one line where tyro takes ten.
    """
    _refuse_unknown_flags(command, default or kind, arguments)
    given: dict[str, Any] = {} if default is None else {"default": default}
    ask = functools.partial(tyro.cli, kind, prog=f"gan-jax {command}", args=arguments, **given)
    if {"-h", "--help"} & set(arguments):
        print(help_of(command, default or kind, shutil.get_terminal_size().columns))
        raise SystemExit(0)
    box, columns = io.StringIO(), os.environ.get("COLUMNS")
    try:
        # Of no terminal, whose colours and width would break up what is read here.
        os.environ["COLUMNS"] = "10000"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(box):
            return ask()
    except SystemExit:
        raise InputError(_in_one_line(box.getvalue(), command)) from None
    finally:
        del os.environ["COLUMNS"]
        if columns is not None:
            os.environ["COLUMNS"] = columns


_KINDS = {
    "INT": "an integer is",
    "N": "an integer is",
    "FLOAT": "a number is",
    "[INT [INT ...]]": "integers are",
}


def _in_one_line(box: str, command: str) -> str:
    """What tyro says in a box, without its frame, its hints and its advice."""
    lines = [line.strip("│ ") for line in box.splitlines()[1:]]  # below the title
    rule = re.compile("[─-]*").fullmatch
    said = " ".join(itertools.takewhile(lambda x: not rule(x), itertools.dropwhile(rule, lines)))
    if missing := re.match(r"Missing value for argument '(--\S+)'", said):
        return f"{missing[1]}: its value is missing"
    if missing := re.match(r"Missing from gan-jax \w+: (\S+)", said):
        return f"{missing[1]} is missing (gan-jax {command} --help tells what it is)"
    value = re.fullmatch(r"Error parsing (--\S+): .*?'(.*)'\S*", said)
    for kind, allowed in _KINDS.items():
        if value is not None and f"{value[1]} {kind}" in lines:
            return f"{value[1]}: '{value[2]}' is not allowed; {allowed}"
    return f"{said[:1].lower()}{said[1:].rstrip('.')} (gan-jax {command} --help lists all)"


def _refuse_unknown_flags(command: str, record: Any, arguments: Sequence[str]) -> None:
    known = ["--help", *_flags_of(record, "--")]
    for argument in arguments:
        flag = argument.partition("=")[0].replace("_", "-")
        if not flag.startswith("--") or flag == "--" or flag in known:
            continue
        within = [other for other in known if other.endswith(f".{flag.removeprefix('--')}")]
        if flag in ("--penalties", "--terms"):
            within = [f"{flag}.NAME"]
        near = " or ".join(within or difflib.get_close_matches(flag, known, n=1, cutoff=0.7))
        raise InputError(
            f"{flag}: no such option{f'; did you mean {near}?' if near else ''} "
            f"(gan-jax {command} --help lists all)"
        )


def _flags_of(record: Any, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(record):
        value = getattr(record, field.name, None)
        name = field.name.replace("_", "-")
        marks = getattr(field.type, "__metadata__", ())
        if dataclasses.is_dataclass(value):
            yield from _flags_of(value, prefix if field.name == "values" else f"{prefix}{name}.")
        elif isinstance(value, Mapping):  # taken out before, if its name was right
            yield from (f"{prefix}{name}.{key}" for key in NAMES[f"--{name}.NAME"])
        elif POSITIONAL not in marks:
            yield f"{prefix}{name}"
            if isinstance(value, bool) and tyro.conf.FlagCreatePairsOff not in marks:
                yield f"{prefix}no-{name}"


def value_of(arguments: Sequence[str], name: str) -> str | None:
    """The last value of a flag that has to be known before the others can be parsed."""
    found = None
    for index, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag.replace("_", "-") == f"--{name}":
            found = value if equals else "".join(arguments[index + 1 : index + 2])
    return found


def take_weights(table: str, arguments: Sequence[str]) -> tuple[list[str], dict[str, float]]:
    """Take out each ``--TABLE.NAME WEIGHT``, of which tyro would need to know the names.

    Raises:
        InputError: a weight that is no number.
    """
    rest, found = [], {}
    remaining = iter(arguments)
    for argument in remaining:
        flag, equals, value = argument.partition("=")
        if not flag.startswith(f"--{table}."):
            rest.append(argument)
            continue
        value = value if equals else next(remaining, "")
        try:
            found[flag.removeprefix(f"--{table}.").replace("-", "_")] = float(value)
        except ValueError as error:
            raise InputError(f"{flag}: {value!r} is not a number") from error
    return rest, found


def integers(name: str, text: str) -> list[int]:
    """The integers of a ``--NAME N,N,...``.

    Raises:
        InputError: they are none.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"--{name}: {text!r} is not a list of integers such as 0,1,2") from error
