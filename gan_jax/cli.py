"""Text in, text out: ``gan-jax …`` and ``python -m gan_jax …``.

Whatever can be answered without jax is answered before it is imported: help, mistyped flags,
unknown recipes, values out of range.
"""

import gc
import io
import os
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_jax import __version__, environment
from gan_jax.config import Config
from gan_jax.errors import InputError, lookup
from gan_jax.evaluation.verdict import verdicts_in
from gan_jax.flags import (
    BenchmarkFlags,
    EvaluateFlags,
    RecipesFlags,
    ResumeFlags,
    SampleFlags,
    TrainFlags,
    integers,
    parse,
    take_weights,
    value_of,
)
from gan_jax.names import FROM_DATA, refuse_unknown_names, value_at
from gan_jax.recipes import RECIPES, recipe
from gan_jax.signals import stopped_at_once

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["main"]


def _train(arguments: Sequence[str]) -> int:
    arguments, penalties = take_weights("penalties", arguments)
    arguments, terms = take_weights("terms", arguments)
    file = value_of(arguments, "config")
    values = Config.read_toml(_path(file)) if file is not None else {}
    name = value_of(arguments, "recipe") or values.get("recipe", "gan")
    if name != values.get("recipe", name):
        raise InputError(
            f"--recipe: {name!r} was given, and {file} is of {values['recipe']!r}; give one of them"
        )
    base = Config() if name == Config().recipe else recipe(str(name))
    if file is not None:
        base = Config.from_toml(_path(file), base)
    weights = {
        "penalties": _weights(base.penalties, penalties),
        "terms": _weights(base.terms, terms),
    }
    base = Config.from_dict(weights, base)
    flags = parse("train", TrainFlags, arguments, TrainFlags(values=base))
    config = flags.values
    config.validate()
    refuse_unknown_names(config)
    for field in FROM_DATA:
        found = value_at(config, field)
        if found != value_at(base, field):
            raise InputError(f"--{field}: {found} cannot be chosen; it comes from the data")
    if flags.epochs is not None:
        if flags.epochs < 1:
            raise InputError(f"--epochs: {flags.epochs} is out of range; at least 1 is allowed")
        for other in ("steps", "print-config"):  # the one contradicts it, the other has no data
            if value_of(arguments, other) is not None:
                raise InputError(f"--epochs: cannot be given together with --{other}")
    if flags.print_config:
        sys.stdout.write(config.to_toml())
        return 0
    if value_of(arguments, "run-dir") == "":
        raise InputError("--run-dir: empty; a folder's name is allowed")

    from gan_jax.data.loading import refuse_unknown

    refuse_unknown(config.dataset, config.data_dir)
    console = _console()
    environment.prepare()

    from gan_jax.train import tell_end, train

    run_dir = None if flags.run_dir is None else _path(flags.run_dir)
    return tell_end(train(config, run_dir, epochs=flags.epochs, console=console), console)


def _weights(base: Mapping[str, float], given: Mapping[str, float]) -> dict[str, float]:
    """With 0 a penalty or term of the recipe is gone; at a weight of 0 it would still cost."""
    gone = {name for name in base if given.get(name) == 0.0}
    return {name: weight for name, weight in {**base, **given}.items() if name not in gone}


def _resume(arguments: Sequence[str]) -> int:
    flags = parse("resume", ResumeFlags, arguments)
    verdicts_in("stop_when", flags.stop_when or "")  # refused before anything is loaded
    run_dir = _run_dir(flags.run)
    console = _console()
    environment.prepare()

    from gan_jax.train import resume, tell_end

    changes = {"dataset": flags.dataset, "data_dir": flags.data_dir, "stop_when": flags.stop_when}
    return tell_end(resume(run_dir, flags.steps, **changes, console=console), console)


def _sample(arguments: Sequence[str]) -> int:
    flags = parse("sample", SampleFlags, arguments)
    run_dir, output = _run_dir(flags.run), _path(flags.output)
    labels = _asked("label", "labels", flags.label, flags.labels)
    categories = _asked("category", "categories", flags.category, flags.categories)
    environment.prepare()

    from gan_jax import sampling
    from gan_jax.runs import Run

    sampling.check_output(output, flags.count)
    config = Run.open(run_dir).read_config()
    asked = {
        "labels": sampling.labels_in_turn(config, flags.count, labels),
        "categories": sampling.categories_in_turn(config, flags.count, categories),
    }
    which = {"best": flags.best, "temperature": flags.temperature}
    samples = sampling.sample_run(run_dir, flags.count, flags.seed, **asked, **which)
    sampling.write_samples(samples, output, **asked)
    print(f"{flags.count:,} sample{'s' * (flags.count != 1)} in {output}")
    return 0


def _asked(one: str, several: str, number: int | None, numbers: str | None) -> list[int] | None:
    """What two flags ask for, ``--one N`` or ``--several N,N,...``, if either is given."""
    if number is not None and numbers is not None:
        raise InputError(f"--{one}: cannot be given together with --{several}")
    if numbers is not None:
        return integers(several, numbers)
    return None if number is None else [number]


def _evaluate(arguments: Sequence[str]) -> int:
    flags = parse("evaluate", EvaluateFlags, arguments)
    run_dir = None if flags.run is None else _run_dir(flags.run)
    if run_dir is None and (flags.samples is None or flags.against is None):
        raise InputError(
            "evaluate: give a run's folder, or --samples FILE.npz and --against NAME|PATH"
        )
    if flags.best and flags.samples is not None:
        raise InputError("--best: cannot be given together with --samples")
    environment.prepare()

    from rich.console import Console

    from gan_jax.evaluate import evaluate, show

    report = evaluate(
        run_dir,
        flags.samples,
        flags.against,
        data_dir=flags.data_dir,
        full=flags.full,
        best=flags.best,
        console=Console(stderr=True),
    )
    if flags.json:
        print(report.to_json())
    else:
        show(report, _console())
    return 0


def _benchmark(arguments: Sequence[str]) -> int:
    flags = parse("benchmark", BenchmarkFlags, arguments)
    config = recipe(flags.recipe)
    for name, found, least in (
        ("population", flags.population, 0),
        ("steps", flags.steps, 1),
        ("turns", flags.turns, 1),
    ):
        if found < least:
            raise InputError(f"--{name}: {found} is out of range; at least {least} is allowed")
    environment.prepare()

    from gan_jax.benchmark import report

    for line in report(config, flags.population, flags.steps, flags.turns):
        print(line, flush=True)
    return 0


def _recipes(arguments: Sequence[str]) -> int:
    flags = parse("recipes", RecipesFlags, arguments)
    if flags.name:
        sys.stdout.write(recipe(flags.name).to_toml(comments=True))
        return 0
    indent = " " * (2 + max(map(len, RECIPES)))
    # A file or a pipe gets a line for each.
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for name, entry in RECIPES.items():
        text = f"{name:{len(indent)}}{entry.summary} ({entry.source})"
        print(textwrap.fill(text, width, subsequent_indent=indent, break_on_hyphens=False))
    return 0


COMMANDS: Mapping[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "train": (_train, "train a GAN: pictures, curves, checkpoints in a run folder"),
    "resume": (_resume, "go on with a run, bit for bit as if it had never stopped"),
    "sample": (_sample, "draw samples from a run into a .png or .npz file"),
    "evaluate": (_evaluate, "tell whether a GAN works: figures, anchors and a verdict"),
    "benchmark": (_benchmark, "time the steps of a recipe on this device"),
    "recipes": (_recipes, "list the recipes, or print one"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 done, 1 the training diverged or failed as --stop-when says, 2 unusable input, 130 and 143
    stopped by Ctrl-C and SIGTERM, 141 nobody reads on.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # no sign is worth a training
    # Imports and traces make many objects and hardly any garbage.
    gc.set_threshold(100_000, 20, 100)
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments == ["--version"]:
        print(f"gan-jax {__version__}")
        return 0
    try:
        try:
            with stopped_at_once(), _plain_warnings():
                run, _ = lookup("command", arguments[0], COMMANDS)
                return run(arguments[1:])
        finally:
            sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    except BrokenPipeError:  # as `| head` does once it has enough
        _to_nowhere()
        return 141
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")
    except MemoryError as error:
        return _refuse(f"memory: there is too little ({error})")


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """What this package warns of, in a line without the place in its code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any) -> None:
            if category is UserWarning and str(rest[0]).startswith(str(Path(__file__).parent)):
                print(f"gan-jax: {message}", file=sys.stderr)
            else:
                usual(message, category, *rest)

        warnings.showwarning = show
        yield


def _refuse(trouble: str) -> int:
    print(f"gan-jax: {trouble}", file=sys.stderr)
    return 2


def _to_nowhere() -> None:
    """Let what is yet to be printed vanish, in place of another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _usage() -> str:
    lines = [f"  {name:9} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: gan-jax COMMAND [OPTIONS]",
            "",
            "Train generative adversarial networks in JAX. Start with: gan-jax train",
            "",
            *lines,
            "",
            "gan-jax COMMAND --help tells the options of a command.",
            "gan-jax --version tells the version.",
        ]
    )


def _path(path: str | Path) -> Path:
    return Path(os.path.expanduser(path))  # as a shell does, it leaves users that there are not


def _run_dir(path: Path) -> Path:
    path = _path(path)
    if not (path / "config.toml").is_file():
        raise InputError(f"{path}: holds no run (there is no config.toml in it)")
    return path


def _console() -> "Console":
    from rich.console import Console

    class Unread(Console):
        """Goes on in silence where whoever read along has gone: a training is worth more."""

        def on_broken_pipe(self) -> None:
            self.quiet = True
            _to_nowhere()

    return Unread()


if __name__ == "__main__":
    sys.exit(main())
