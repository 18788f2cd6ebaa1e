"""Watching a run while it trains: evaluations, alarms, and the best checkpoint so far."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from rich.console import Console

from gan_jax.config import Config
from gan_jax.data import Dataset
from gan_jax.errors import InputError, lookup
from gan_jax.evaluation.history import judge_run, won
from gan_jax.evaluation.verdict import BETTER, Verdict, verdicts_in
from gan_jax.gan import GAN
from gan_jax.losses import LOSSES
from gan_jax.runs import Run
from gan_jax.sampling import sampler
from gan_jax.state import GANState

__all__ = ["Watch", "read_wishes", "refuse_vain_wishes"]


class Wishes(NamedTuple):
    """What a config asks of those who watch its run."""

    sign: int  # of the metric that the best checkpoint is kept by, in BETTER
    stop_at: frozenset[str]  # verdicts


def read_wishes(config: Config) -> Wishes:
    """Check and read ``best_by`` and ``stop_when``.

    Raises:
        InputError: a metric or verdict that there is not, or one that takes evaluations where
            there are none.
    """
    sign = lookup("best_by", config.best_by, BETTER)
    words = verdicts_in("stop_when", config.stop_when)
    for word in words:
        if config.evaluation_interval == 0 and word not in ("diverged", "discriminator-won"):
            raise InputError(
                f"stop_when: {word!r} is told from samples; say how often with evaluation_interval"
            )
    return Wishes(sign, frozenset(words))


def refuse_vain_wishes(config: Config) -> None:
    """See that ``stop_when`` names no verdict that this game never gets.

    Raises:
        InputError: it does.
    """
    words = verdicts_in("stop_when", config.stop_when)
    if "discriminator-won" in words and math.isinf(lookup("loss", config.loss, LOSSES).least):
        raise InputError(
            f"stop_when: 'discriminator-won' is never said of the loss {config.loss}, whose size "
            "tells nothing"
        )


class Watch:
    """What is known of how well a run goes."""

    def __init__(self, config: Config, gan: GAN, dataset: Dataset, console: Console):
        """Makes what judges samples, which may take minutes the first time a data set is met.

        Samples are compared with the validation rows where some were set aside, else with the test
        rows: a checkpoint chosen by these looks better on them than it is.

        Raises:
            InputError: as `read_wishes`, a metric that these data do not allow, or too few rows to
                compare with.
        """
        self.sign, self.stop_at = read_wishes(config)
        self.loss = LOSSES[config.loss]
        self.interval, self.best_by = config.evaluation_interval, config.best_by
        self.evaluator = self.labels = None
        if self.interval:
            from gan_jax.judges import (
                FAST,
                Evaluator,
                labels_to_ask,
            )  # here, for it takes a second to load

            if dataset.validation is not None:
                dataset = dataclasses.replace(dataset, test=dataset.validation)
            self.count = min(FAST, len(dataset.test.samples))
            self.evaluator = Evaluator(dataset, self.count, console)
            if config.generator.condition != "none":
                self.labels = labels_to_ask(dataset, self.count)
            if self.evaluator.anchors["train"][self.best_by] is None:
                raise InputError(
                    f"best_by: {self.best_by} needs classes, and labels enough to learn them; "
                    f"{dataset.name} has not"
                )
            if self.best_by == "label_consistency" and self.labels is None:
                raise InputError(
                    f"best_by: {self.best_by} needs a generator that is asked for classes, as by "
                    "generator.condition of concatenate"
                )
        self.sample = sampler(gan)
        self.history: list[dict[str, Any]] = []
        self.evaluations: list[dict[str, Any]] = []
        self.since = 0  # evaluations from this step on are those that the best checkpoint is of
        self.verdict: Verdict | None = None  # of the newest evaluation
        self.earlier = False  # that one is of before a resume, which it does not end again
        self.alarm: Verdict | None = None  # of the records since

    def open(self, run: Run) -> None:
        """Take note of what the run has written so far."""
        self.history, self.evaluations = run.read_metrics(), run.read_evaluations()
        newest = self.evaluations[-1] if self.evaluations else {}
        if {"verdict", "reasons", "advice"} <= newest.keys():
            told = newest["verdict"], tuple(newest["reasons"]), newest["advice"]
            self.verdict, self.earlier = Verdict(*told), True
        held = run.best.steps()
        if held:
            self.since = held[-1]
        elif self.evaluations:  # of none of which there is a checkpoint
            self.since = self.evaluations[-1]["step"] + 1

    def record(self, numbers: dict[str, Any]) -> None:
        """Take note of a record of metrics."""
        self.history.append(numbers)
        good = bool(self.evaluations) and self.evaluations[-1]["verdict"] == "healthy"
        judged = numbers["finite"] and not good
        self.alarm = won(self.history, self.loss) if judged else None

    def due(self, step: int) -> bool:
        """Whether samples are to be judged at that step."""
        return self.interval > 0 and step % self.interval == 0

    def judged(self, step: int) -> bool:
        """Whether samples have been at that step; not where a signal ended it."""
        return bool(self.evaluations) and self.evaluations[-1]["step"] == step

    def evaluate(self, run: Run, step: int, state: GANState, pause: Callable[[], None]) -> bool:
        """Judge samples, and write down what was found; tells whether they are the best so far.

        ``pause`` is called now and then, and may raise to end it: then nothing was found.
        """
        assert self.evaluator is not None
        rows = self.sample(state, self.count, labels=self.labels)
        leaves = (rows, *jax.tree.leaves(state.average))  # bytes are finite, whatever made them
        if not all(np.isfinite(leaf).all() for leaf in leaves):
            return False  # the next step's metrics will say so
        pause()
        metrics, verdict = self.evaluator.measure(rows, self.labels, pause)
        record = {"step": step, "verdict": verdict.verdict, **metrics}
        self.evaluations.append(record)
        self.alarm = None  # the verdict has it, if it is still so
        self.verdict = judge_run(verdict, self.history, self.evaluations, self.loss)
        self.earlier = False
        record |= self.verdict._asdict()
        run.append_evaluation(record)
        scores = [r[self.best_by] for r in self.evaluations if r["step"] >= self.since]
        scores = [self.sign * s for s in scores if s is not None and math.isfinite(s)]  # exploded
        return bool(scores) and self.sign * record[self.best_by] >= max(scores)

    def stops(self) -> Verdict | None:
        """The verdict that ends the run, if it was asked to end at such."""
        for found in (None if self.earlier else self.verdict, self.alarm):
            if found is not None and found.verdict in self.stop_at:
                return found
        return None

    def note(self) -> str:
        """For the live line: an alarm, or the newest verdict."""
        if self.alarm is not None:
            return f"alarm: {self.alarm.verdict}"
        return "" if self.verdict is None else self.verdict.verdict
