"""Whole runs: what they leave behind, and that stopping and going on changes no bit of it."""

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
import warnings

import jax
import numpy as np
import pytest
from conftest import assert_same_bits, plain, quiet, said, tiny_config
from PIL import Image
from rich.console import Console

from gan_jax import data
from gan_jax import session as session_module
from gan_jax.checkpoints import Checkpoints
from gan_jax.cli import main
from gan_jax.config import Config, DecayConfig
from gan_jax.errors import InputError
from gan_jax.fitting import fit_config, load_dataset
from gan_jax.progress import Progress
from gan_jax.report import animate
from gan_jax.runs import Run, load
from gan_jax.sampling import sample_run
from gan_jax.train import resume, tell_end, train

STEPS = 60
CONFIG = tiny_config(
    steps=STEPS, log_interval=10, picture_interval=25, checkpoint_interval=20, batch_size=16
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Run:
    """A run that never stopped."""
    return train(CONFIG, tmp_path_factory.mktemp("runs") / "whole", console=quiet()).run


def assert_same_run(found: Run, expected: Run) -> None:
    assert found.metrics_path.read_bytes() == expected.metrics_path.read_bytes()
    assert [p.name for p in found.sample_paths()] == [p.name for p in expected.sample_paths()]
    for a, b in zip(found.sample_paths(), expected.sample_paths(), strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert found.config_path.read_bytes() == expected.config_path.read_bytes()
    assert_same_bits(load(found.path)[1], load(expected.path)[1])


def test_what_a_run_leaves_behind(whole):
    names = {path.name for path in whole.path.iterdir()}
    assert {"config.toml", "metrics.jsonl", "timing.jsonl", "samples", "checkpoints"} <= names
    assert {"training.webp", "curves.png", "final.png"} <= names
    assert [record["step"] for record in whole.read_metrics()] == [10, 20, 30, 40, 50, 60]
    assert all(np.isfinite(r["discriminator_loss"]) for r in whole.read_metrics())
    assert [path.stem for path in whole.sample_paths()] == [
        "step-000000000",
        "step-000000025",
        "step-000000050",
    ]
    assert whole.checkpoints.steps() == [20, 40, 60]
    with Image.open(whole.animation_path) as picture:
        assert picture.n_frames == 4  # type: ignore
    timing = [json.loads(line) for line in whole.timing_path.read_text().splitlines()]
    assert [record["step"] for record in timing] == [10, 20, 30, 40, 50, 60]
    assert all(record["steps_per_second"] > 0 for record in timing)


def test_the_data_are_written_into_the_config(whole):
    config = whole.read_config()
    assert (config.sample_shape, config.classes) == ((2,), 8)
    assert config.generator.last_activation == "identity"
    gan, state = load(whole.path)
    assert state.step == STEPS
    assert gan.sample(state, jax.random.key(0), 3).shape == (3, 2)


def test_same_seed_same_run(whole, tmp_path):
    again = train(CONFIG, tmp_path / "again", console=quiet()).run
    assert_same_run(again, whole)


def test_stopped_and_resumed_is_never_stopped(whole, tmp_path):
    first = train(dataclasses.replace(CONFIG, steps=1), tmp_path / "run", console=quiet())
    assert first.step == 1
    console = quiet()
    assert_same_run(resume(tmp_path / "run", STEPS, console=console).run, whole)
    assert "going on from step 1\n" in said(console)


def test_a_path_that_orbax_cannot_save_under(whole, tmp_path, monkeypatch):
    """It would take it for a pattern, save half of a checkpoint and say nothing."""
    for name in ("sweep[lr=1]", "back\\slash"):
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match="orbax saves no checkpoint where .* is in the path"):
            train(CONFIG, tmp_path / name / "run", console=quiet())
        moved = shutil.copytree(whole.path, tmp_path / name / "moved")
        with pytest.raises(InputError, match="orbax saves no checkpoint where .* is in the path"):
            resume(moved, STEPS + 5, console=quiet())
        monkeypatch.chdir(tmp_path / name)
        with pytest.raises(InputError, match="orbax saves no checkpoint where .* is in the path"):
            train(CONFIG, console=quiet())
        assert [path.name for path in (tmp_path / name).iterdir()] == ["moved"]


def test_what_is_left_of_a_run_is_not_added_to(tmp_path):
    lines = ("metrics.jsonl", "timing.jsonl", "evaluations.jsonl")
    for name in ("config.toml", *lines, "samples/step-000000000.png", "checkpoints/1", "best/1"):
        part = tmp_path / name.replace("/", "-") / name
        part.parent.mkdir(parents=True)
        part.touch()
        with pytest.raises(InputError, match="holds a run already"):
            train(CONFIG, tmp_path / name.replace("/", "-"), console=quiet())


def test_ten_stops_in_a_row(whole, tmp_path):
    train(dataclasses.replace(CONFIG, steps=3), tmp_path / "run", console=quiet())
    for total in (4, 9, 10, 17, 25, 26, 40, 41, 55, STEPS):
        resume(tmp_path / "run", total, console=quiet())
    assert_same_run(Run(tmp_path / "run"), whole)


def test_steps_beyond_the_checkpoint_are_cut_back(whole, tmp_path):
    # Killed at step 40 after lines and pictures of later steps were written.
    run = train(dataclasses.replace(CONFIG, steps=40), tmp_path / "run", console=quiet()).run
    run.append_metrics({"step": 50, "discriminator_loss": -1.0})
    run.append_timing({"step": 50})
    run.sample_path(50).write_bytes(b"half a picture")
    run.sample_path(0).unlink()  # nor does it matter if the first picture was never drawn
    assert_same_run(resume(run.path, STEPS, console=quiet()).run, whole)


def test_damaged_checkpoint_costs_an_interval_only(whole, tmp_path):
    run = train(CONFIG, tmp_path / "run", console=quiet()).run
    largest = max((run.checkpoints.folder / "60").rglob("*"), key=lambda p: p.stat().st_size)
    largest.write_bytes(b"")
    console = quiet()
    resume(run.path, STEPS, console=console)
    assert "checkpoints/60: damaged (" in said(console)
    assert_same_run(run, whole)


def test_a_run_of_damaged_checkpoints_alone_is_left_as_it_is(tmp_path):
    """However often it is tried: what was measured and drawn stays."""
    run = train(dataclasses.replace(CONFIG, steps=15), tmp_path / "run", console=quiet()).run
    (newest,) = (path for path in run.checkpoints.folder.iterdir() if path.name.isdigit())
    largest = max(newest.rglob("*"), key=lambda p: p.stat().st_size)
    largest.write_bytes(b"")
    records = run.metrics_path.read_bytes()
    for _ in range(2):
        with pytest.raises(InputError, match="damaged .*nothing to restore"):
            resume(run.path, STEPS, console=quiet())
    assert run.metrics_path.read_bytes() == records


def test_without_a_checkpoint_no_other_data_is_taken_for_the_first(tmp_path):
    run = train(dataclasses.replace(CONFIG, steps=15), tmp_path / "run", console=quiet()).run
    shutil.rmtree(run.checkpoints.folder)
    with pytest.raises(InputError, match="no checkpoint that tells whether grid is what it began"):
        resume(run.path, STEPS, dataset="grid", console=quiet())


def test_killed_before_the_first_checkpoint(whole, tmp_path):
    run = train(dataclasses.replace(CONFIG, steps=15), tmp_path / "run", console=quiet()).run
    shutil.rmtree(run.checkpoints.folder)
    shutil.rmtree(run.samples_path)
    console = quiet()
    resume(run.path, STEPS, console=console)
    assert "no checkpoint yet: starting over" in said(console)
    assert_same_run(run, whole)
    shutil.rmtree(run.checkpoints.folder)  # by hand
    console = quiet()
    resume(run.path, STEPS, console=console)
    assert "the checkpoints of 60 steps are gone: starting over" in said(console)
    assert_same_run(run, whole)


def test_a_config_edited_under_way_is_refused(tmp_path):
    run = train(dataclasses.replace(CONFIG, steps=10), tmp_path / "run", console=quiet()).run
    text = run.config_path.read_text()
    for line, edited, name in (
        ("learning_rate = 0.001", "learning_rate = 0.5", "optimizer.learning_rate is 0.5"),
        ("r1 = 1.0", "r1 = 2.0", "penalties.r1 is 2.0"),
        ('loss = "non_saturating"', 'loss = "hinge"', "loss is 'hinge'"),
    ):
        assert line in text
        run.config_path.write_text(text.replace(line, edited))
        with pytest.raises(InputError, match=f"config.toml: .*{name}, but the run began with"):
            resume(run.path, 20, console=quiet())
    # Where to stop and when to look may change.
    run.config_path.write_text(text.replace("log_interval = 10", "log_interval = 5"))
    assert resume(run.path, 20, console=quiet()).step == 20


def test_another_compiler_is_said(tmp_path, monkeypatch):
    config = dataclasses.replace(CONFIG, steps=20)
    run = train(config, tmp_path / "run", console=quiet()).run
    console = quiet()
    resume(run.path, 30, console=console)
    assert "bits may differ" not in said(console)
    monkeypatch.setattr("gan_jax.fitting.cores", lambda: 97)
    resume(run.path, 35, console=console)
    assert "saved under device 'cpu of" in said(console) and "bits may differ" in said(console)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    resume(run.path, 40, console=console)
    assert "saved under XLA_FLAGS" in said(console)


def test_a_reader_leaves_damaged_checkpoints_alone(tmp_path, capsys):
    run = train(dataclasses.replace(CONFIG, steps=40), tmp_path / "run", console=quiet()).run
    shutil.rmtree(run.checkpoints.folder / "40" / "state")
    with pytest.warns(UserWarning, match="checkpoints/40: damaged .*; step 20 is looked at"):
        _, state = load(run.path)
    assert state.step == 20 and run.checkpoints.steps() == [20, 40]
    output = str(tmp_path / "samples.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["sample", str(run.path), "--count", "1", "--output", output]) == 0
    said = capsys.readouterr()
    assert said.out == f"1 sample in {output}\n"
    assert said.err.startswith(f"gan-jax: {run.path}/checkpoints/40: damaged")
    assert len(said.err.splitlines()) == 1


def test_data_that_moved(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32))
    config = dataclasses.replace(CONFIG, dataset=str(tmp_path / "a.npy"), steps=5)
    run = train(config, tmp_path / "run", console=quiet()).run
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    with pytest.raises(InputError, match=r"a\.npy"):
        resume(run.path, 10, console=quiet())
    assert resume(run.path, 10, dataset=str(tmp_path / "b.npy"), console=quiet()).step == 10
    assert run.read_config().dataset == str(tmp_path / "b.npy")


def test_one_feature_is_enough(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32))
    config = dataclasses.replace(CONFIG, dataset=str(tmp_path / "a.npy"), steps=2)
    assert train(config, tmp_path / "run", console=quiet()).run.final_path.exists()


def test_decay_that_ends_early_is_said(tmp_path):
    console = quiet()
    decay = dataclasses.replace(CONFIG.decay, horizon=5)
    train(dataclasses.replace(CONFIG, steps=6, decay=decay), tmp_path / "run", console=console)
    assert "the learning rate is zero from step 5 on" in said(console)


def test_resuming_past_the_decay_is_said(tmp_path):
    config = dataclasses.replace(CONFIG, steps=10, decay=DecayConfig(shape="linear", horizon=20))
    console = quiet()
    run = train(config, tmp_path / "run", console=console).run
    assert "learning rate is zero" not in said(console)
    resume(run.path, 30, console=console)
    assert "the learning rate is zero from step 20 on" in said(console)


def test_nothing_left_to_do(whole):
    with pytest.raises(
        InputError, match="steps: none are left, .* has done 60; give a larger total"
    ):
        resume(whole.path, console=quiet())
    with pytest.raises(InputError, match="steps: 30 asked"):
        resume(whole.path, 30, console=quiet())


def test_a_run_killed_before_its_last_pictures_is_finished(whole, tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.session.animate", animate)
    run = Run(shutil.copytree(whole.path, tmp_path / "run"))
    run.curves_path.unlink()
    resume(run.path, console=quiet())
    assert_same_run(run, whole)
    assert run.final_path.read_bytes() == whole.final_path.read_bytes()
    assert run.animation_path.read_bytes() == whole.animation_path.read_bytes()
    assert run.curves_path.exists()


def test_pictures_of_an_earlier_end_go_with_the_first_step(whole, tmp_path, monkeypatch):
    run = Run(shutil.copytree(whole.path, tmp_path / "run"))

    def refused(*_):
        raise InputError("memory: too little")

    for what, left in (("_lower", True), ("_save", False)):
        with monkeypatch.context() as patch:
            patch.setattr(session_module.Session, what, refused)
            with pytest.raises(InputError, match="memory: too little"):
                resume(run.path, CONFIG.steps + 10, console=quiet())
        assert [path.exists() for path in run.last_paths()] == 3 * [left]


def test_other_data_is_refused(tmp_path):
    path = tmp_path / "mine.npy"
    random = np.random.default_rng(0)
    np.save(path, random.normal(size=(50, 2)).astype(np.float32))
    config = dataclasses.replace(CONFIG, dataset=str(path), steps=5)
    run = train(config, tmp_path / "run", console=quiet()).run
    for rows, told in (
        (50, "it has 45 rows to train on, there were others"),
        (60, "it has 54 rows to train on, there were 45"),
    ):
        np.save(path, random.normal(size=(rows, 2)).astype(np.float32))
        with pytest.raises(InputError, match=f"is not the data .* began with: {told}"):
            resume(run.path, 10, console=quiet())


def test_data_are_found_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32))
    run = train(
        dataclasses.replace(CONFIG, dataset="mine.npy", steps=5), "run", console=quiet()
    ).run
    path = run.path.absolute()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert resume(path, 10, console=quiet()).step == 10


def test_a_loop_of_links_that_nothing_needs_stops_no_one(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    config = dataclasses.replace(CONFIG, data_dir=str(tmp_path / "loop"))
    fitted = fit_config(config, data.load(config.dataset))
    assert fitted.data_dir == str(tmp_path / "loop")


def test_epochs_are_passes_over_the_rows(tmp_path):
    np.save(tmp_path / "m.npy", np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32))
    config = dataclasses.replace(CONFIG, dataset=str(tmp_path / "m.npy"))
    # 90 rows are left of 100 once a test part is set aside; 2 * 90 / 16 is 11.25.
    assert train(config, tmp_path / "run", epochs=2, console=quiet()).step == 12
    for bad in (0, -3):
        with pytest.raises(InputError, match=f"epochs: {bad} is out of range"):
            train(config, tmp_path / "no", epochs=bad, console=quiet())
    with pytest.raises(InputError, match="epochs: ring has no end"):
        train(CONFIG, tmp_path / "no", epochs=1, console=quiet())
    assert not (tmp_path / "no").exists()


def test_nothing_is_written_for_bad_input(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((9, 2), np.float32))
    for changes, message in (
        ({"dataset": str(tmp_path / "m.npy")}, "batch_size: a step takes 16 rows; .*m.npy has 8"),
        ({"dataset": str(tmp_path / "none.npy")}, "none.npy"),
        ({"loss": "hing"}, "loss: 'hing'"),
    ):
        with pytest.raises(InputError, match=message):
            train(dataclasses.replace(CONFIG, **changes), tmp_path / "run", console=quiet())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("log_interval", [1, 50, pytest.param(1000, marks=pytest.mark.long)])
def test_divergence_stops_and_keeps_the_last_sound_checkpoint(log_interval, tmp_path):
    sgd = dataclasses.replace(CONFIG.generator_optimizer, name="sgd", learning_rate=1e3)
    config = dataclasses.replace(
        CONFIG,
        loss="least_squares",
        generator_optimizer=sgd,
        discriminator_optimizer=sgd,
        checkpoint_interval=1,
        log_interval=log_interval,
    )
    outcome = train(config, tmp_path / "run", console=quiet())
    # Not where a chunk happened to end, which is the clock's choice.
    assert outcome.diverged and outcome.step in (STEPS, outcome.step // log_interval * log_interval)
    assert [r["step"] for r in outcome.run.read_metrics()][-1] == outcome.step
    kept = outcome.run.checkpoints.steps()
    assert kept and max(kept) < outcome.step
    _, state = load(outcome.run.path)
    assert all(np.isfinite(leaf).all() for leaf in plain((state.generator, state.discriminator)))
    last = json.loads(outcome.run.metrics_path.read_text().splitlines()[-1])
    assert last["finite"] is False
    if log_interval == 1:
        assert last["discriminator_loss"] is None and outcome.step < STEPS


def test_a_signal_after_what_cannot_be_saved(tmp_path, monkeypatch):
    """Between two steps that are looked at: there is no state to go on from, and it is said so."""
    sgd = dataclasses.replace(CONFIG.generator_optimizer, name="sgd", learning_rate=1e3)
    players = {"generator_optimizer": sgd, "discriminator_optimizer": sgd}
    config = dataclasses.replace(
        CONFIG, loss="least_squares", **players, log_interval=10**6, picture_interval=55
    )
    draw = session_module.Session._picture

    def interrupt(self, state, path):
        draw(self, state, path)
        if "055" in path.name:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(session_module.Session, "_picture", interrupt)
    outcome, console = train(config, tmp_path / "run", console=quiet()), quiet()
    assert outcome.diverged and outcome.step == 55 and 55 not in outcome.run.checkpoints.steps()
    assert tell_end(outcome, console) == 1
    assert "diverged: at step 55 " in said(console)
    assert "saved" not in said(console)


def test_parameters_that_are_not_finite_are_not_saved(tmp_path):
    """Though the metrics of their step are: they are of what it began with."""
    sgd = dataclasses.replace(CONFIG.generator_optimizer, name="sgd", learning_rate=1e3)
    config = dataclasses.replace(CONFIG, loss="least_squares", generator_optimizer=sgd)
    config = dataclasses.replace(config, generator_steps=50, steps=1, log_interval=1)
    console = quiet()
    outcome = train(dataclasses.replace(config, checkpoint_interval=1), tmp_path, console=console)
    assert outcome.run.read_metrics()[-1]["finite"] and outcome.diverged
    assert outcome.run.checkpoints.steps() == []
    assert tell_end(outcome, console) == 1
    assert "diverged: at step 1 metrics or parameters are not finite; stopped" in said(console)


def test_a_signal_before_the_first_step_leaves_a_run_to_go_on_with(tmp_path, monkeypatch, whole):
    steps = session_module.Session._steps

    def interrupted(self, *given):
        os.kill(os.getpid(), signal.SIGTERM)
        return steps(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(session_module.Session, "_steps", interrupted)
        outcome = train(CONFIG, tmp_path / "run", console=quiet())
    assert (outcome.step, outcome.signal) == (0, signal.SIGTERM)
    assert_same_run(resume(outcome.run.path, console=quiet()).run, whole)


def test_what_has_no_room_leaves_nothing_behind(tmp_path, monkeypatch):
    def refuse(self):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: as a GPU would say")

    with monkeypatch.context() as patch:
        patch.setattr(session_module.Session, "_begin", refuse)
        config = dataclasses.replace(CONFIG, seed=7)  # of no other run here, to share programs with
        with pytest.raises(InputError, match="memory: the device has too little"):
            train(config, tmp_path / "run", console=quiet())
    assert not [path for path in (tmp_path / "run").iterdir() if path.name != ".lock"]
    assert train(CONFIG, tmp_path / "run", console=quiet()).step == STEPS


def test_a_picture_that_is_cut_off_is_none(whole, tmp_path, monkeypatch):
    """Whether a run is finished is told from its pictures: they are there whole or not at all."""
    monkeypatch.setattr("gan_jax.session.animate", animate)
    run = shutil.copytree(whole.path, tmp_path / "run")
    for name in ("curves.png", "training.webp"):
        (run / name).unlink()

    def killed(records, path, **_):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("gan_jax.session.draw_curves", killed)
        resume(run, STEPS, console=quiet())
    assert not (run / "curves.png").exists()
    resume(run, STEPS, console=quiet())
    assert (run / "curves.png").exists() and (run / "training.webp").stat().st_size > 1_000


@pytest.mark.parametrize("name", ["final.png", "training.webp", "curves.png"])
def test_pictures_of_others_are_not_written_over(name, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"holds {name} already, which a run would overwrite"):
        train(CONFIG, tmp_path, console=quiet())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_signal_that_is_ignored_stays_so(tmp_path, monkeypatch):
    """As SIGINT is of what a script starts in the background."""
    real = Run.append_metrics

    def interrupt(self, record):
        real(self, record)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Run, "append_metrics", interrupt)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        outcome = train(CONFIG, tmp_path / "run", console=quiet())
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.step, outcome.signal) == (STEPS, None)


def test_a_signal_while_the_step_compiles_waits_for_nothing(tmp_path, monkeypatch):
    """There is nothing to save yet: whoever answered before the training still does."""
    asked = []

    class Lowered:
        def compile(self):  # in a thread, for which the main one is waiting in the end
            while not waiting(sys._current_frames()[threading.main_thread().ident]):  # pyright: ignore
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            raise RuntimeError("no program")

    def waiting(frame):
        while frame is not None and frame.f_code.co_name != "result":
            frame = frame.f_back
        return frame is not None

    monkeypatch.setattr(session_module.Session, "_lower", lambda self: Lowered())
    before = signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    try:
        with pytest.raises(RuntimeError, match="no program"):
            train(CONFIG, tmp_path / "run", console=quiet())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGINT, "once"),
        (signal.SIGTERM, "twice at once"),
        (signal.SIGINT, "twice, and meant"),
    ],
)
def test_a_signal_saves_and_stops(tmp_path, monkeypatch, number, times, whole):
    real = Run.append_metrics

    def interrupt(self, record):
        real(self, record)
        if record["step"] == 30:
            for _ in range(1 if times == "once" else 2):
                os.kill(os.getpid(), number)

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    saved = []
    real_save = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, *given: saved.append(1) or real_save(self, *given)
    )
    monkeypatch.setattr(Run, "append_metrics", interrupt)
    if times == "twice, and meant":  # the second one acts at once
        monkeypatch.setattr("gan_jax.signals._SAME_REQUEST_SECONDS", 0.0)
        monkeypatch.setattr(signal, "raise_signal", lambda number: sys.exit(f"killed by {number}"))
        with pytest.raises(SystemExit, match=f"killed by {number}"):
            train(CONFIG, tmp_path / "run", console=quiet())
        assert Run(tmp_path / "run").checkpoints.steps() == [20]
    else:
        console = quiet()
        outcome = train(CONFIG, tmp_path / "run", console=console)
        assert (outcome.step, outcome.signal) == (30, number)
        assert "stopping at step 30 ..." in said(console)
        assert outcome.run.checkpoints.steps() == [20, 30]
        assert len(saved) == 2  # at 20, and once for the signal
        run = outcome.run
        assert all(p.exists() for p in (run.final_path, run.animation_path, run.curves_path))
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    monkeypatch.undo()
    assert_same_run(resume(tmp_path / "run", STEPS, console=quiet()).run, whole)


def test_a_signal_at_the_last_step_is_heard(tmp_path, monkeypatch):
    real = Run.append_metrics

    def interrupt(self, record):
        real(self, record)
        if record["step"] == STEPS:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "append_metrics", interrupt)
    console = quiet()
    outcome = train(CONFIG, tmp_path / "run", console=console)
    assert (outcome.step, outcome.signal) == (STEPS, None)
    assert f"ending at step {STEPS} ..." in said(console) and "stopping" not in said(console)


def test_samples_do_not_depend_on_how_many_are_drawn(whole, monkeypatch):
    monkeypatch.setattr("gan_jax.sampling._BLOCK", 10)
    few, many = (sample_run(whole.path, count, seed=3) for count in (7, 25))
    assert few.shape == (7, 2) and many.shape == (25, 2) and many.dtype == np.float32
    assert (few == many[:7]).all()
    assert len(np.unique(many, axis=0)) == 25
    assert (sample_run(whole.path, 7, seed=4) != few).any()


def test_progress_is_plain_off_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr("gan_jax.progress._PLAIN_SECONDS", 0.0)
    console = quiet()
    train(CONFIG, tmp_path / "run", console=console)
    lines = said(console).splitlines()
    assert "gan_jax" in lines[0] and "float32" in lines[0] and f"jax {jax.__version__}" in lines[0]
    assert lines[1].startswith("ring: endless rows of 2, 8 classes")
    steps = [line for line in lines if line.startswith("step ")]
    assert steps[-1].startswith(f"step {STEPS}/{STEPS} · ")
    assert "told apart" in steps[-1] and "steps/s" in steps[-1]
    assert not any("\x1b" in line for line in lines)


def test_live_line_on_a_terminal(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=160)
    train(dataclasses.replace(CONFIG, steps=20), tmp_path / "run", console=console)
    assert "step 20/20 · " in said(console)


@pytest.mark.parametrize(
    ("width", "rest"),  # what does not fit is left out, with room for what "^C" adds
    [(80, " · 346 steps/s, 22,123 images/s"), (79, "")],
)
def test_what_matters_fits_into_80_columns(width, rest, monkeypatch):
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with Progress(console, 60_000, 64) as progress:
        monkeypatch.setattr(time, "perf_counter", lambda: 100.0)
        progress._marked = (0.0, 0)
        progress.count(34_567)
        numbers = {"real_above_fake": 0.84, "discriminator_loss": 1.2, "generator_loss": 0.7}
        progress.show(34_567, numbers)
    plain = re.sub(r"\x1b\[[\d?;]*[A-Za-z]", "", said(console))
    line = [line for line in plain.splitlines() if line.startswith("step ")][-1]
    assert line == "step 34,567/60,000 · 1:14 left · told apart 84%" + rest


def test_a_terminal_that_cannot_be_written_over_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with Progress(console, 10, 64) as progress:
        progress.count(1)
        numbers = {"real_above_fake": 0.84, "discriminator_loss": 1.2, "generator_loss": 0.7}
        progress.show(1, numbers)
    assert said(console) == "step 1/10 · told apart 84% · losses D 1.20 G 0.70\n"


def test_too_little_memory_is_said(tmp_path, monkeypatch):
    def steps(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    for where in ("Session._steps", "make_stream"):
        monkeypatch.setattr(f"gan_jax.session.{where}", steps)
        with pytest.raises(InputError, match="memory: .* 16 rows a step .*allocating 9 bytes"):
            train(CONFIG, tmp_path / where, console=quiet())
        monkeypatch.undo()


def test_chunks_are_short_when_steps_are_slow(tmp_path, monkeypatch):
    counts = []
    real = session_module.advance

    def counted(train_step, take):
        program = real(train_step, take)

        def wrapped(state, source, picks, count):
            jax.debug.callback(lambda n: counts.append(int(n)), count)
            return program(state, source, picks, count)

        return wrapped

    monkeypatch.setattr(session_module, "advance", counted)
    count, steps_a_second = Progress.count, 4.0

    def slowly(self, step):
        count(self, step)
        self.rate = min(self.rate, steps_a_second)

    monkeypatch.setattr(Progress, "count", slowly)
    train(dataclasses.replace(CONFIG, steps=9), tmp_path / "run", console=quiet())
    assert sum(counts) == 9 and counts[0] == 1
    assert max(counts) / steps_a_second <= 1  # of the five seconds that a signal may take


def test_config_file_of_a_run_starts_the_same_run(whole, tmp_path):
    config = Config.from_toml(whole.config_path)
    assert_same_run(train(config, tmp_path / "run", console=quiet()).run, whole)


def test_steps_are_compiled_by_the_options_for_many_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(
        session_module, "many_steps", lambda platform: {f"no_option_of_{platform}": "1"}
    )
    with pytest.raises(jax.errors.JaxRuntimeError, match="no_option_of_cpu"):
        train(CONFIG, tmp_path / "run", console=quiet())


@pytest.mark.parametrize(
    ("arrays", "note"),
    [
        ({"images": np.eye(8, dtype=np.uint8)[None].repeat(40, 0)}, "0 or 1 of 255, which is bl"),
        (
            {
                "samples": np.random.default_rng(0).normal(size=(40, 2)),
                "labels": np.arange(40) % 2 * 50,
            },
            "49 of the 51 classes have no row to train on",
        ),
        (
            {"samples": np.full((40, 2), 2e4)},
            "values reach 2e+04; networks learn best from about 1",
        ),
    ],
)
def test_what_is_odd_about_data_is_said(arrays, note, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    console = quiet()
    load_dataset(dataclasses.replace(CONFIG, dataset=str(tmp_path / "a.npz")), console)
    assert note in " ".join(said(console).split())
    load_dataset(dataclasses.replace(CONFIG, dataset="digits"), console)
    odd = ("which is black", "have no row", "scale them")
    assert sum(said(console).count(each) for each in odd) == 1


def test_what_the_data_lack_is_said_before_training(tmp_path):
    random = np.random.default_rng(0)
    path, labels = tmp_path / "a.npz", np.arange(60) % 3
    labels[:7] = -1
    np.savez(path, samples=random.normal(size=(60, 2)).astype(np.float32), labels=labels)
    console = quiet()
    config = dataclasses.replace(CONFIG, dataset=str(path), steps=2)
    assert tell_end(train(config, tmp_path / "run", console=console), console) == 0
    told = " ".join(said(console).split())
    unlabelled = re.search(r"; (\d+) of the (\d+) rows have no label \(-1\)", told)
    part = data.load(str(path)).train
    assert unlabelled is not None and isinstance(part, data.Part) and part.labels is not None
    assert (int(unlabelled[1]), int(unlabelled[2])) == ((part.labels < 0).sum(), 54)
    assert "gan-jax evaluate" not in told.partition("done: ")[2]
    assert "6 test rows are too few for gan-jax evaluate, 100 are needed" in told
