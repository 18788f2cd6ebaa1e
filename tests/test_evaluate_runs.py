"""`gan-jax evaluate` of runs: what is drawn and asked for, and what their records add."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import quiet, said

from gan_jax.cli import main
from gan_jax.evaluate import evaluate
from gan_jax.recipes import recipe
from gan_jax.train import train


def test_a_run_and_what_it_prints(tmp_path, capsys):
    run = tmp_path / "run"
    sizes = ["--generator.widths", "8", "--discriminator.widths", "8", "--batch-size", "16"]
    arguments = ["train", "--recipe", "points", "--dataset", "ring", "--steps", "20"]
    assert main([*arguments, *sizes, "--run-dir", str(run)]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    printed = capsys.readouterr().out
    assert "verdict:" in printed and "frechet distance" in printed and "try:" in printed
    assert "underfitting" in printed or "collapsed" in printed  # after twenty steps
    report = evaluate(run, console=quiet())
    assert report.samples == 2_000 and report.metrics["copying"] is None
    assert report.metrics["label_consistency"] is None  # nothing was asked for
    assert set(report.anchors["train"]) == set(report.metrics)
    config = run / "config.toml"
    config.write_text(config.read_text().replace('dataset = "ring"', 'dataset = "grid"'))
    console = quiet()
    evaluate(run, console=console)
    assert f"grid is not the data {run} began with" in said(console)


def test_labels_asked_for_and_classes_told(tmp_path):
    base = recipe("points")
    config = dataclasses.replace(
        base,
        dataset="ring",
        steps=400,
        evaluation_interval=400,
        terms={"classes": 1.0},
        generator=dataclasses.replace(base.generator, condition="concatenate"),
        discriminator=dataclasses.replace(base.discriminator, head="classes"),
    )
    run = train(config, tmp_path / "run", console=quiet()).run
    report = evaluate(run.path, console=quiet())
    # 400 steps put samples about their modes, not into them.
    found = report.metrics["label_consistency"]
    assert found > 0.9
    assert run.read_evaluations()[0]["label_consistency"] == pytest.approx(found, abs=0.05)
    assert report.metrics["head_accuracy"] > 0.95  # eight modes far apart
    assert "head_accuracy" not in evaluate(run.path, against="grid", console=quiet()).metrics
    assert set(report.anchors["train"]) == set(report.metrics)


def test_a_won_history_counts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("gan_jax.judges.FAST", 300)
    run = tmp_path / "run"
    sizes = ["--generator.widths", "8", "--discriminator.widths", "8", "--batch-size", "16"]
    arguments = ["train", "--recipe", "points", "--dataset", "ring", "--steps", "20"]
    assert main([*arguments, *sizes, "--log-interval", "10", "--run-dir", str(run)]) == 0
    lines = (run / "metrics.jsonl").read_text().splitlines()
    newest = json.loads(lines[-1]) | {"real_above_fake": 1.0, "discriminator_loss": 0.001}
    told = [json.dumps(newest | {"step": step}) for step in range(600, 1_001, 100)]
    (run / "metrics.jsonl").write_text("\n".join([*lines[:-1], *told]) + "\n")
    assert evaluate(run, console=quiet()).verdict == "discriminator-won"
    # Evaluations on the way count, too, if they reach to the newest checkpoint.
    (run / "metrics.jsonl").write_text(lines[0] + "\n")
    text = (run / "config.toml").read_text()
    for last, interval, improves in ((20, 0, True), (19, 0, False), (18, 3, True), (17, 3, False)):
        changed = text.replace("evaluation_interval = 0", f"evaluation_interval = {interval}")
        (run / "config.toml").write_text(changed)
        found = [
            {"step": last - 7 + i, "verdict": "underfitting", "frechet_distance": 90.0 - 10 * i}
            for i in range(8)
        ]
        (run / "evaluations.jsonl").write_text("".join(json.dumps(f) + "\n" for f in found))
        assert (evaluate(run, console=quiet()).verdict == "improving") == improves
    # Nor is anything of the run judged where there is a file of samples.
    np.savez(tmp_path / "points.npz", samples=np.random.default_rng(0).normal(size=(200, 2)))
    console = quiet()
    assert evaluate(run, samples=tmp_path / "points.npz", console=console).samples == 200
    told = " ".join(said(console).split())
    assert f"judging {tmp_path / 'points.npz'}; {run} itself is not judged" in told


def test_a_run_that_diverged_before_its_first_checkpoint(tmp_path, capsys):
    run = tmp_path / "run"
    rates = ["--generator-optimizer.learning-rate", "1000"]
    rates += ["--discriminator-optimizer.learning-rate", "1000", "--loss", "least_squares"]
    arguments = ["train", "--recipe", "points", "--dataset", "ring", "--steps", "2000", *rates]
    assert main([*arguments, "--run-dir", str(run)]) == 1
    assert evaluate(run, console=quiet()).verdict == "diverged"
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    assert "verdict: diverged" in capsys.readouterr().out
