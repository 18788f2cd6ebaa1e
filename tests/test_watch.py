"""Evaluations while training: they change nothing, keep the best, and end a run when asked to."""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest
from conftest import assert_same_bits, quiet, striped_images, tiny_config

from gan_jax import watch as watch_module
from gan_jax.assembly import from_config
from gan_jax.checkpoints import Checkpoints
from gan_jax.cli import main
from gan_jax.data import load as load_data
from gan_jax.errors import InputError
from gan_jax.evaluate import evaluate
from gan_jax.evaluation.verdict import BETTER, Verdict
from gan_jax.fitting import game_facts
from gan_jax.progress import Progress
from gan_jax.runs import Run, load
from gan_jax.sampling import sample_run
from gan_jax.train import resume, tell_end, train
from gan_jax.watch import Watch, read_wishes, refuse_vain_wishes

CONFIG = tiny_config(
    steps=60, log_interval=10, checkpoint_interval=25, batch_size=16, evaluation_interval=15
)


@pytest.fixture(autouse=True, scope="module")
def few_samples():
    """A part of what users get: the tests here ask when samples are judged, not how well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_jax.judges.FAST", 300)
        yield


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Run:
    """A run on `ring`, evaluated at four of its steps."""
    return train(CONFIG, tmp_path_factory.mktemp("runs") / "watched", console=quiet()).run


def test_evaluations_change_nothing_else(watched, tmp_path):
    plain = train(
        dataclasses.replace(CONFIG, evaluation_interval=0), tmp_path / "plain", console=quiet()
    ).run
    assert plain.metrics_path.read_bytes() == watched.metrics_path.read_bytes()
    assert_same_bits(load(plain.path)[1], load(watched.path)[1])
    assert not plain.evaluations_path.exists() and not plain.best.steps()


def test_a_loss_without_bounds_is_never_won():
    wish = dataclasses.replace(CONFIG, stop_when="discriminator-won", evaluation_interval=0)
    refuse_vain_wishes(wish)
    critic = dataclasses.replace(wish, loss="wasserstein")
    read_wishes(critic)  # an older version took it, and such a run can be resumed
    with pytest.raises(InputError, match="'discriminator-won' is never said of the loss wasser"):
        refuse_vain_wishes(critic)


def test_what_is_written_down(watched):
    records = watched.read_evaluations()
    assert [record["step"] for record in records] == [15, 30, 45, 60]
    for record in records:
        assert record["verdict"] and len(record["reasons"]) == 3
        assert record["frechet_distance"] > 0 and set(BETTER) <= record.keys()


@pytest.mark.parametrize(
    ("best_by", "pick"),
    [("frechet_distance", min), pytest.param("recall", max, marks=pytest.mark.long)],
)
def test_the_best_checkpoint_is_kept(best_by, pick, tmp_path):
    config = dataclasses.replace(CONFIG, best_by=best_by, steps=90)
    run = train(config, tmp_path / "run", console=quiet()).run
    scores = {record["step"]: record[best_by] for record in run.read_evaluations()}
    assert len(set(scores.values())) > 1  # or there is nothing to choose
    (step,) = run.best.steps()
    assert scores[step] == pick(scores.values())
    _, state = load(run.path, best=True)
    shorter = train(dataclasses.replace(config, steps=step), tmp_path / "short", console=quiet())
    assert_same_bits(state, load(shorter.run.path)[1])
    newest = sample_run(run.path, 50)
    assert (sample_run(run.path, 50, best=True) == newest).all() == (step == 90)


def test_stopped_and_resumed_is_never_stopped(watched, tmp_path):
    path = tmp_path / "run"
    train(dataclasses.replace(CONFIG, steps=40), path, console=quiet())
    run = resume(path, CONFIG.steps, console=quiet()).run
    assert run.evaluations_path.read_bytes() == watched.evaluations_path.read_bytes()
    assert run.best.steps() == watched.best.steps()


def test_a_signal_ends_an_evaluation_and_a_resume_does_it_anew(watched, tmp_path, monkeypatch):
    look = watch_module.Watch.evaluate

    def interrupted(self, run, step, state, pause):
        if step == 30:
            os.kill(os.getpid(), signal.SIGTERM)
        return look(self, run, step, state, pause)

    with monkeypatch.context() as patch:
        patch.setattr(watch_module.Watch, "evaluate", interrupted)
        outcome = train(CONFIG, tmp_path / "run", console=quiet())
    run = outcome.run
    assert (outcome.step, outcome.signal) == (30, signal.SIGTERM)
    assert [record["step"] for record in run.read_evaluations()] == [15]
    resume(run.path, CONFIG.steps, console=quiet())
    assert run.evaluations_path.read_bytes() == watched.evaluations_path.read_bytes()
    assert run.best.steps() == watched.best.steps()
    assert_same_bits(load(run.path)[1], load(watched.path)[1])


def test_a_run_that_ends_at_an_evaluation_ends_there_if_a_signal_came_first(tmp_path, monkeypatch):
    """Though an alarm of the records, which the evaluation takes back, would have ended it too."""
    config = dataclasses.replace(CONFIG, stop_when="underfitting,collapsed,discriminator-won")
    whole = train(config, tmp_path / "whole", console=quiet())
    assert whole.stopped and whole.step == 15
    look = watch_module.Watch.evaluate

    def interrupted(self, run, step, state, pause):
        os.kill(os.getpid(), signal.SIGTERM)
        self.alarm = Verdict("discriminator-won", ("a", "b", "c"), "…")
        return look(self, run, step, state, pause)

    with monkeypatch.context() as patch:
        patch.setattr(watch_module.Watch, "evaluate", interrupted)
        first = train(config, tmp_path / "run", console=quiet())
    assert (first.step, first.signal, first.stopped) == (15, signal.SIGTERM, False)
    again = resume(tmp_path / "run", console=quiet())
    assert (again.step, again.stopped, again.verdict) == (15, True, whole.verdict)
    assert again.run.evaluations_path.read_bytes() == whole.run.evaluations_path.read_bytes()


def test_the_newest_verdict_is_told_after_a_resume_without_evaluations(tmp_path):
    path = tmp_path / "run"
    config = dataclasses.replace(CONFIG, steps=17)
    first = train(config, path, console=quiet()).verdict
    assert first is not None and first.advice
    assert resume(path, 20, console=quiet()).verdict == first
    again = resume(path, 25, stop_when=first.verdict, console=quiet())
    assert again.step == 25 and again.verdict == first  # it was that already


def test_evaluations_beyond_the_checkpoint_are_cut_back(watched, tmp_path):
    path = tmp_path / "run"
    run = train(dataclasses.replace(CONFIG, steps=40), path, console=quiet()).run
    run.append_evaluation({"step": 45, "verdict": "healthy"})  # then it was killed
    resume(path, CONFIG.steps, console=quiet())
    assert run.evaluations_path.read_bytes() == watched.evaluations_path.read_bytes()


def test_a_run_ends_when_asked(tmp_path, capsys):
    sizes = ["--generator.widths", "8", "--discriminator.widths", "8", "--batch-size", "16"]
    arguments = ["train", "--recipe", "points", "--dataset", "ring", "--steps", "60", *sizes]
    arguments += ["--evaluation-interval", "15", "--stop-when", "collapsed,underfitting"]
    assert main([*arguments, "--run-dir", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().out
    assert "stopped at step 15, as asked" in said and "verdict: " in said
    assert re.search(r"step 15/60 .* (collapsed|underfitting) · ", said)  # the live line
    run = Run.open(tmp_path / "run")
    assert run.checkpoints.steps() == [15] and run.final_path.exists()
    arguments = ["resume", str(tmp_path / "run")]
    assert main(arguments) == 1  # and again: it is still so
    assert run.checkpoints.steps()[-1] == 30
    assert "resume" in capsys.readouterr().out and main([*arguments, "--stop-when", ""]) == 0
    assert run.checkpoints.steps()[-1] == 60


def test_evaluations_are_left_out_of_the_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(Watch, "evaluate", lambda *_: time.sleep(0.6))
    run = train(CONFIG, tmp_path / "run", console=quiet()).run
    assert json.loads(run.timing_path.read_text().splitlines()[-1])["seconds"] < 1.8  # of 4 x 0.6


def test_killed_between_evaluation_and_checkpoint(watched, tmp_path, monkeypatch):
    """Whatever was written by then, going on gives the run that was never stopped."""
    config = dataclasses.replace(CONFIG, checkpoint_interval=15)
    whole = train(config, tmp_path / "whole", console=quiet()).run
    save, path = Checkpoints.save, tmp_path / "run"
    for killed_at in (1, 2):  # before the first checkpoint, and after it

        def saves_only_so_many(self, state, facts, left=iter(range(killed_at))):  # noqa: B008
            if next(left, None) is None:
                raise KeyboardInterrupt
            save(self, state, facts)

        monkeypatch.setattr(Checkpoints, "save", saves_only_so_many)
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(KeyboardInterrupt):
            train(config, path, console=quiet())
        monkeypatch.setattr(Checkpoints, "save", save)
        with contextlib.suppress(InputError):  # nothing left to do
            resume(path, console=quiet())
        found = Run.open(path)
        assert found.evaluations_path.read_bytes() == whole.evaluations_path.read_bytes()
        assert found.best.steps() == whole.best.steps()


@pytest.mark.parametrize("kept", [True, False])
def test_the_best_beyond_the_checkpoint_is_gone(kept, tmp_path):
    """The best one is on disk: where what was better has gone, the next is the best there is."""
    path = tmp_path / "run"
    config = dataclasses.replace(CONFIG, steps=40, checkpoint_interval=20)
    run = train(config, path, console=quiet()).run
    shutil.rmtree(run.checkpoints.folder / "40")
    first, second = run.read_evaluations()  # at steps 15 and 30
    first[CONFIG.best_by] = -1.0  # better than any
    run.evaluations_path.write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n")
    shutil.rmtree(run.best.folder)
    if kept:
        shutil.copytree(run.checkpoints.folder / "20", run.best.folder / "15")
    resume(path, console=quiet())
    assert run.best.steps() == [15 if kept else 30]


def test_a_broken_generator_is_not_judged(tmp_path):
    rate = dataclasses.replace(CONFIG.generator_optimizer, name="sgd", learning_rate=1e3)
    config = dataclasses.replace(
        CONFIG, loss="least_squares", generator_optimizer=rate, discriminator_optimizer=rate
    )
    config = dataclasses.replace(config, penalties={}, evaluation_interval=1)
    outcome = train(config, tmp_path / "run", console=quiet())
    assert outcome.diverged


def test_what_is_watched_is_no_part_of_the_game():
    assert not {"evaluation_interval", "best_by", "stop_when"} & game_facts(CONFIG).keys()


def test_no_alarm_while_samples_are_healthy():
    watch = Watch(CONFIG, from_config(CONFIG), load_data("ring"), quiet())
    watch.evaluations.append({"verdict": "healthy"})
    record = {"real_above_fake": 1.0, "discriminator_loss": 1e-3, "finite": True}
    for step in range(20):
        watch.record({"step": step, "generator_gradient_norm": 0.1, **record})
    assert watch.alarm is None


def test_the_newest_records_say_nothing_of_the_best(watched, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(watched.path, path)
    Run.open(path).append_metrics({"step": 70, "finite": False})
    assert evaluate(path, console=quiet()).verdict == "diverged"
    assert evaluate(path, best=True, console=quiet()).samples == 2_000


def test_an_alarm_at_the_end_is_told(tmp_path, monkeypatch):
    """Nobody sees the live line afterwards."""
    alarm = Verdict("discriminator-won", ("why",), "what to do")
    monkeypatch.setattr("gan_jax.watch.won", lambda *found: alarm)
    config, console = dataclasses.replace(CONFIG, steps=10, evaluation_interval=0), quiet()
    outcome = train(config, tmp_path / "run", console=console)
    assert outcome.verdict == alarm and not outcome.stopped
    assert tell_end(outcome, console) == 0
    assert "verdict: discriminator-won\n  why\n" in console.file.getvalue()  # pyright: ignore


def test_alarms_need_no_samples(tmp_path):
    config = dataclasses.replace(CONFIG, evaluation_interval=0, stop_when="discriminator-won")
    watch = Watch(config, from_config(config), load_data("ring"), quiet())
    record = {"real_above_fake": 1.0, "discriminator_loss": 1e-3, "finite": True}
    record |= {"generator_gradient_norm": 0.1}
    for step in range(100, 1_000, 100):
        watch.record({"step": step, **record})
        assert watch.stops() is None and watch.note() == ""  # too early to tell
    watch.record({"step": 1_000, **record})
    found = watch.stops()
    assert found is not None and watch.note() == "alarm: discriminator-won"
    watch.record({"step": 1_100, **record, "real_above_fake": 0.7})
    assert watch.stops() is None and watch.note() == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stop_when": "colapsed"}, "stop_when: 'colapsed' is not one of .*did you mean 'collapse"),
        ({"stop_when": "collapsed", "evaluation_interval": 0}, "told from samples; say how often"),
        ({"best_by": "beauty"}, "best_by: 'beauty' is not one of frechet_distance"),
    ],
)
def test_mistakes(changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        train(dataclasses.replace(CONFIG, **changes), tmp_path / "run", console=quiet())
    assert not (tmp_path / "run").exists()


def test_validation_rows_judge_where_there_are_any(tmp_path):
    images, labels = striped_images(1_500, 0)
    # Test rows of another kind: a run judged by them would be told that classes are missing.
    np.savez(
        tmp_path / "data.npz",
        images=images,
        labels=labels,
        test_images=np.zeros_like(images),
        test_labels=labels,
    )
    config = dataclasses.replace(CONFIG, dataset=str(tmp_path / "data.npz"), validation=0.2)
    dataset = load_data(config.dataset, validation=config.validation)
    config = dataclasses.replace(config, sample_shape=dataset.sample_shape, classes=2)
    watch = Watch(config, from_config(config), dataset, quiet())
    assert watch.evaluator is not None and dataset.validation is not None
    judged = watch.evaluator.judge.held_out
    assert watch.count == 300 and judged.sum() == dataset.validation.samples.sum() > 0


def test_what_the_data_do_not_allow_is_refused(tmp_path):
    np.savez(tmp_path / "data.npz", samples=np.random.default_rng(0).normal(size=(3_000, 2)))
    changes = {"dataset": str(tmp_path / "data.npz"), "best_by": "class_total_variation"}
    with pytest.raises(InputError, match="best_by: class_total_variation needs classes"):
        train(dataclasses.replace(CONFIG, **changes), tmp_path / "run", console=quiet())
    unasked = dataclasses.replace(CONFIG, best_by="label_consistency")  # though `ring` has classes
    with pytest.raises(InputError, match="label_consistency needs a generator that is asked"):
        train(unasked, tmp_path / "run", console=quiet())
    np.savez(tmp_path / "data.npz", samples=np.random.default_rng(0).normal(size=(500, 2)))
    changes |= {"best_by": "recall", "validation": 0.1}
    with pytest.raises(InputError, match="validation rows of .*data.npz: 45 are too few"):
        train(dataclasses.replace(CONFIG, **changes), tmp_path / "run", console=quiet())
    assert not (tmp_path / "run").exists()


def test_evaluations_are_not_on_the_clock():
    with Progress(quiet(), 100, 1) as progress:
        progress.count(0)
        time.sleep(0.2)
        progress.skip(0.2)
        progress.count(50)
        numbers = {"real_above_fake": 0.5, "discriminator_loss": 1.0, "generator_loss": 1.0}
        progress.rate, progress._seconds = 10.0, 0.1  # another 50 steps: 5 s, and 10 of other work
        assert "0:15 left" in progress._line(50, numbers, "")
    assert progress.timing()["seconds"] < 0.2


def test_losses_that_explode_stay_short():
    numbers = {"real_above_fake": 0.5, "discriminator_loss": -9.6e15, "generator_loss": 1.0}
    with Progress(quiet(), 100, 1) as progress:
        assert "losses D -9.6e+15 G 1.00" in progress._line(50, numbers, "")


def test_words_may_have_spaces_between():
    config = dataclasses.replace(CONFIG, stop_when=" diverged, collapsed,")
    assert read_wishes(config).stop_at == {"diverged", "collapsed"}


def test_without_evaluations_there_is_no_best(tmp_path):
    config = dataclasses.replace(CONFIG, evaluation_interval=0, steps=5)
    run = train(config, tmp_path / "run", console=quiet()).run
    with pytest.raises(InputError, match="no best checkpoint; a run keeps one under"):
        load(run.path, best=True)
    assert np.isfinite(jax.tree.leaves(load(run.path)[1].average)[0]).all()
