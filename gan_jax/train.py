"""A training from its beginning, or from its newest checkpoint on.

``python -m gan_jax.train`` is ``gan-jax train``.
"""

import sys

if __name__ == "__main__":  # up here: the command answers some things before jax is imported
    from gan_jax.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))

import dataclasses
import math
import shlex
from pathlib import Path
from typing import Any

import jax
from rich.console import Console

from gan_jax.assembly import from_config
from gan_jax.config import Config
from gan_jax.data import Dataset, Mixture
from gan_jax.errors import InputError
from gan_jax.fitting import (
    compiler_facts,
    data_facts,
    fit_config,
    load_dataset,
    refuse_other_game,
    steps_of,
)
from gan_jax.precision import product
from gan_jax.progress import describe_device, say
from gan_jax.recipes import RECIPES
from gan_jax.runs import Run, new_run_dir
from gan_jax.session import Outcome, Session
from gan_jax.state import GANState
from gan_jax.watch import read_wishes, refuse_vain_wishes

__all__ = ["Outcome", "resume", "tell_end", "train"]


def train(
    config: Config,
    run_dir: str | Path | None = None,
    *,
    epochs: int | None = None,
    console: Console,
) -> Outcome:
    """Train a new run.

    Args:
        config: what to train; sample shape, number of classes and last activation are overwritten
            with what the data says.
        run_dir: the run's folder; ``runs/<recipe>-<dataset>-<number>`` by default.
        epochs: where to stop, in passes over the training rows, in place of the config's steps.
        console: where to report.

    Raises:
        InputError: unusable config, data or folder; there is no run then, but perhaps its folder.
    """
    config.validate()
    product(config.precision)  # refused before anything is loaded
    read_wishes(config)
    refuse_vain_wishes(config)
    Run(run_dir or "runs").checkpoints.refuse_place()
    if run_dir is not None:
        Run(run_dir).refuse_old()
    say(console, describe_device(config.precision))
    dataset = load_dataset(config, console)
    config = fit_config(config, dataset)
    if epochs is not None:
        config = dataclasses.replace(config, steps=steps_of(epochs, config, dataset))
        config.validate()
    _suggest_recipe(config, dataset, console)
    session = Session(config, dataset, console)
    run = Run.create(run_dir or new_run_dir(config))
    with run.lock():
        run.refuse_old()  # another process may have been faster
        return session.play(run, fresh=True)


def resume(
    run_dir: str | Path,
    steps: int | None = None,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    stop_when: str | None = None,
    console: Console,
) -> Outcome:
    """Go on with a run from its newest sound checkpoint, as if it had never stopped.

    Args:
        run_dir: the run's folder.
        steps: the new total; what the run's config says by default.
        dataset: where the same data are by now, if they have moved.
        data_dir: where tensorflow-datasets keeps them by now.
        stop_when: the verdicts that end it from now on; empty = none.
        console: where to report.

    Raises:
        InputError: no run there, nothing left to do, or the data is not what it was.
    """
    run = Run.open(run_dir)
    run.checkpoints.refuse_place()
    changes = {
        "steps": steps,
        "dataset": dataset,
        "data_dir": data_dir,
        "stop_when": stop_when,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    config = Config.from_dict(given, run.read_config())
    if stop_when is not None:
        refuse_vain_wishes(config)
    say(console, describe_device(config.precision))
    with run.lock():
        state, facts = _restore(run, config, console)
        step = 0 if state is None else int(state.step)
        drawn = all(path.exists() for path in run.last_paths())  # or it was killed before that
        if config.steps < step or (config.steps == step and drawn):
            asked = f"{config.steps:,} asked" if steps is not None else "none are left"
            raise InputError(
                f"steps: {asked}, {run.path} has done {step:,}; give a larger total with --steps"
            )
        if dataset is not None and not facts:
            raise InputError(
                f"dataset: {run.path} has no checkpoint that tells whether {dataset} is what it "
                "began with; train anew"
            )
        data = load_dataset(config, console)
        refuse_other_game(config, facts.get("game"), run)
        found = data_facts(data)
        if facts and facts["data"] != found["data"]:
            now, then = found["rows"], facts.get("rows", found["rows"])
            other = "others" if now == then else str(then or "endless ones")
            raise InputError(
                f"dataset: {config.dataset} is not the data {run.path} began with: it has "
                f"{now or 'endless'} rows to train on, there were {other}"
            )
        config = fit_config(config, data)
        if step:
            say(console, f"going on from step {step:,}")
        session = Session(config, data, console)
        run.cut_back(step)
        run.write_config(config)
        return session.play(run, state)


def tell_end(outcome: Outcome, console: Console) -> int:
    """Say how a run ended, where everything is and what to run next; returns the exit status."""
    run, place = outcome.run, shlex.quote(str(outcome.run.path))

    def tell(line: str) -> None:
        say(console, line)

    if outcome.diverged:
        tell(f"diverged: at step {outcome.step:,} metrics or parameters are not finite; stopped")
        kept = run.checkpoints.steps()
        tell(f"  newest checkpoint  {f'step {kept[-1]:,}' if kept else 'none'}")
        penalty = "" if run.read_config().penalties else ", or a penalty (--penalties.r1 1)"
        tell(f"  try                a lower learning rate{penalty}")
        return 1
    if outcome.signal is not None:
        tell(f"stopped at step {outcome.step:,}; saved in {run.path}")
        tell(f"  go on              gan-jax resume {place}")
        tell(f"  look at it         gan-jax sample {place} --count 100 --output samples.png")
        return 128 + outcome.signal
    config = run.read_config()
    if outcome.stopped:
        tell(f"stopped at step {outcome.step:,}, as asked, all in {run.path}")
    else:
        tell(f"done: {outcome.step:,} steps, all in {run.path}")
    if outcome.verdict is not None:
        tell(f"verdict: {outcome.verdict.verdict}")
        for reason in outcome.verdict.reasons:
            tell(f"  {reason}")
        tell(f"  try                {outcome.verdict.advice}")
    tell(f"  samples            {run.final_path}")
    tell(f"  how it learned     {run.animation_path}")
    tell(f"  curves             {run.curves_path}")
    tell("next:")
    if outcome.judgeable:
        tell(f"  does it work?      gan-jax evaluate {place}")
    tell(f"  more samples       gan-jax sample {place} --count 100 --output samples.png")
    if outcome.stopped and outcome.step < config.steps:
        tell(f"  train on           gan-jax resume {place} --stop-when ''")
    elif config.decay.shape == "constant" or outcome.step < config.decay.horizon:
        limit = math.inf if config.decay.shape == "constant" else config.decay.horizon
        tell(f"  train on           gan-jax resume {place} --steps {min(2 * outcome.step, limit)}")
    return int(outcome.stopped and bool(outcome.verdict and outcome.verdict.failed))


def _suggest_recipe(config: Config, dataset: Dataset, console: Console) -> None:
    """Say so where the recipe was made for another kind of data."""
    known = RECIPES.get(config.recipe)
    if known and isinstance(dataset.train, Mixture) and not known.for_points:
        say(console, f"{dataset.name}: of points in the plane; --recipe points is made for them")
    elif known and dataset.is_image and known.for_points:
        say(console, f"--recipe {config.recipe}: made for points; --recipe gan is for images")


def _restore(run: Run, config: Config, console: Console) -> tuple[GANState | None, dict[str, Any]]:
    """The newest sound state and its facts; no state where the run never got to save one."""
    if not run.checkpoints.steps():
        done = max((record["step"] for record in run.read_metrics()), default=0)
        lost = done >= config.checkpoint_interval
        what = f"the checkpoints of {done:,} steps are gone" if lost else "no checkpoint yet"
        say(console, f"{what}: starting over, which comes to the same")
        return None, {}
    template = jax.eval_shape(from_config(config).init, jax.random.key(0))
    state, facts, notes = run.checkpoints.restore(template, move_aside=True)
    for name, now in compiler_facts().items():
        before = facts.get(name, now)
        if before != now:
            notes.append(f"saved under {name} {before!r}: bits may differ from one long run's")
    for note in notes:
        say(console, note)
    return state, facts
