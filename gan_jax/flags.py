"""What each command may be told, and flags that have to be known before tyro parses the rest."""

import contextlib
import dataclasses
import difflib
import functools
import io
import itertools
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import tyro

from gan_jax.config import Config
from gan_jax.errors import InputError, lookup
from gan_jax.evaluation.verdict import VERDICTS, verdicts_in
from gan_jax.recipes import RECIPES

__all__ = [
    "NAMES",
    "BenchmarkFlags",
    "EvaluateFlags",
    "RecipesFlags",
    "ResumeFlags",
    "SampleFlags",
    "TrainFlags",
    "integers",
    "names_to_choose",
    "parse",
    "refuse_unknown_names",
    "take_weights",
    "value_of",
]


Flags = TypeVar("Flags")
(_POSITIONAL,) = get_args(tyro.conf.Positional[str])[1:]  # how tyro marks one

# What --help offers; the tables themselves are where jax is, and a test compares.
NAMES = {
    "--recipe": tuple(RECIPES),
    "--loss": (
        "minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, "
        "relativistic_average, softmax, boundary_seeking"
    ).split(", "),
    "--penalties.NAME": "r1, r2, wgan_gp, wgan_gp_one_sided, dragan".split(", "),
    "--terms.NAME": "classes, semi_supervised, information, smoothing, fake_smoothing".split(", "),
    "--PLAYER.name": "mlp, residual_mlp, dcgan".split(", "),
    "--PLAYER.activation": (
        "relu, leaky_relu, silu, leaky_silu, gelu, elu, tanh, sigmoid, identity"
    ).split(", "),
    "--PLAYER.normalization": ("none", "layer", "spectral"),
    "--PLAYER.initializer": "uniform_fan_in, lecun_normal, he_normal".split(", "),
    "--generator.condition": ("none", "concatenate"),
    "--discriminator.condition": ("none", "concatenate", "projection"),
    "--discriminator.head": ("none", "classes", "semi_supervised", "codes"),
    "--PLAYER-optimizer.name": "adam, optimistic_adam, optimistic_sgd, rmsprop, sgd".split(", "),
    "--decay.shape": ("constant", "linear", "cosine"),
    "--dynamics.name": "alternating, simultaneous, extragradient, consensus, unrolled".split(", "),
    "--precision": ("float32", "tf32", "bfloat16"),
    "--best-by": (
        "frechet_distance, kernel_distance, sliced_wasserstein, precision, recall, density, "
        "coverage, classifier_score, class_total_variation, class_reverse_kl, label_consistency"
    ).split(", "),
    "--stop-when": VERDICTS,
}


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
    """The new total; by default what the run was started with."""
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


def names_to_choose(width: int) -> str:
    """What `NAMES` holds, as text so many columns wide."""
    indent = max(map(len, NAMES)) + 4
    return "\n".join(
        textwrap.fill(
            f"  {flag:{indent - 2}}{', '.join(names)}",
            width,
            subsequent_indent=" " * indent,
            break_on_hyphens=False,
        )
        for flag, names in NAMES.items()
    )


def refuse_unknown_names(config: Config) -> None:
    """Refuse what `NAMES` does not hold, long before the tables themselves are imported.

    Raises:
        InputError: it names the field.
    """
    verdicts_in("stop_when", config.stop_when)
    for flag, names in NAMES.items():
        # A config made in Python is of no recipe, and `recipe` has refused any other name.
        if flag in ("--recipe", "--stop-when"):
            continue
        players = ("generator", "discriminator") if "PLAYER" in flag else ("",)
        for player in players:
            field = flag.removeprefix("--").replace("PLAYER", player).replace("-", "_")
            field = field.removesuffix(".NAME")
            value: Any = config
            for part in field.split("."):
                value = getattr(value, part)
            for name in (value,) if isinstance(value, str) else value:
                lookup(field, name, dict.fromkeys(names))


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
        return ask()  # prints it and ends
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
        elif _POSITIONAL not in marks:
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
