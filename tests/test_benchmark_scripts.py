"""The scripts in benchmarks/ run, and their figures add up. Never how fast anything is."""

import importlib
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import striped_images

from gan_jax.config import Config

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


def run(script: str, folder: Path, *arguments: str) -> dict:
    """What a script writes with ``--json``."""
    file = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / script), *arguments, "--json", str(file)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text())


@pytest.mark.long
def test_start_up(tmp_path):
    found = run("start_up.py", tmp_path, "--turns", "1")
    assert found["commit"] and found["machine"] and found["versions"]["jax"]
    stages = ["python", "import jax", "import all", "load data"]
    stages += ["first step, cold", "first step, warm", "--help"]
    assert list(found["seconds"]) == stages
    assert all(len(values) == 1 and values[0] > 0 for values in found["seconds"].values())


def test_start_up_says_when_training_cannot_start(tmp_path):
    with pytest.raises(AssertionError, match="nowhere"):
        run("start_up.py", tmp_path, "--turns", "1", "--dataset", "./nowhere")


@pytest.mark.long
def test_memory(tmp_path):
    found = run("memory.py", tmp_path, "--members", "1", "16")
    # concept: 784-128-1 and 100-128-784 with Adam's two moments, and the average of the second.
    discriminator, generator = 784 * 128 + 128 + 128 + 1, 100 * 128 + 128 + 128 * 784 + 784
    assert 0 < found["state_bytes"] - 4 * (3 * discriminator + 4 * generator) < 200
    multiples = found["multiples"]
    assert set(multiples) == {"at once", "one by one"}
    assert min(min(way.values()) for way in multiples.values()) > 1.0  # at least the state itself
    # One member's gradients and activations, spread over sixteen, against everyone's own.
    assert multiples["one by one"]["16"] < multiples["at once"]["16"]
    assert multiples["one by one"]["16"] < multiples["one by one"]["1"]


def test_profile_step(tmp_path):
    found = run("profile_step.py", tmp_path, "--steps", "1")
    each, times = found["by_name"].values(), found["microseconds"]
    assert found["kernels"] == sum(kernel["count"] for kernel in each) > 0
    assert times["all kernels"] == pytest.approx(sum(kernel["microseconds"] for kernel in each))
    assert times["busy"] + times["gap"] == pytest.approx(times["wall"])
    assert 0 < times["busy"] <= times["wall"]
    assert times["busy"] <= times["all kernels"] * (1 + 1e-9)


@pytest.mark.long
def test_roofline(tmp_path):
    found = run("roofline.py", tmp_path, "--steps", "1", "--turns", "1")
    counts, listed = found["counts"], found["products"]
    assert counts["product_flops"] == sum(p["count"] * p["flops"] for p in listed)
    # XLA also counts activations, Adam and the rest.
    assert 0.9 * counts["xla_flops"] < counts["product_flops"] < counts["xla_flops"]
    assert 0 < counts["least_bytes"] < counts["xla_bytes"]
    fastest = sum(p["count"] * min(p["seconds"].values()) for p in listed)
    assert found["roof_seconds"] == pytest.approx(fastest)
    assert found["share_of_roof"] == pytest.approx(fastest * found["rates"]["whole"][0])
    assert found["least_seconds"] == pytest.approx(
        counts["product_flops"] / (1e9 * max(found["square_gflops"].values()))
    )
    parts = {"latents", "optimisers", "gradient norms", "rows gathered", "average"}
    assert set(found["left_out_seconds"]) == parts
    for part, seconds in found["left_out_seconds"].items():
        rates = found["rates"]
        assert seconds == pytest.approx(1 / rates["whole"][0] - 1 / rates[part][0])
    makers = {maker for p in listed for maker in p["seconds"]}
    of_xla = {"XLA", "XLA in 2", "XLA in 4"}
    assert {"NumPy"} <= makers - of_xla <= {"NumPy", "PyTorch"} and of_xla <= makers
    by_xla = [min(s for m, s in p["seconds"].items() if m in of_xla) for p in listed]
    assert found["roof_of_xla_seconds"] == pytest.approx(
        sum(p["count"] * seconds for p, seconds in zip(listed, by_xla, strict=True))
    )
    peers = [rate for name, (rate,) in found["rates"].items() if name.startswith("PyTorch")]
    assert found["peer_seconds"] == (pytest.approx(1 / max(peers)) if peers else None)


@pytest.mark.parametrize("denormals", [False, True])
def test_pytorch_flushes_denormals_in_all_its_threads(tmp_path, denormals):
    pytest.importorskip("torch")
    code = f"""
import sys
sys.path.insert(0, {str(SCRIPTS)!r})
from train_throughput import load, peer_runs, size
peers = peer_runs(size("concept"), load("digits").train, {denormals})
import torch
torch.set_num_threads(2)
print(int((0.5 * torch.full((2**22,), 1e-38)).count_nonzero()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert int(done.stdout) == (2**22 if denormals else 0)


@pytest.mark.long
def test_train_throughput(tmp_path):
    asked = ["--steps", "1", "--turns", "1", "--train-steps", "100"]
    found = run("train_throughput.py", tmp_path, *asked)
    short, long, ratios = found["medians"], found["long_medians"], found["ratios"]
    for kind in ("rates", "long_rates"):
        medians = found[kind.replace("rates", "medians")]
        assert {name: [median] for name, median in medians.items()} == found[kind]
    ours = ["gan-jax train", "in a loop", "step by step", "bare products"]
    peers = [name for name in short if name.startswith("PyTorch")]
    kept = [name for name in long if name not in ours]
    assert list(long)[:4] == ours and set(kept) <= set(peers)
    for name in peers:  # each kind by its better number of threads
        assert short[name] <= max(short[k] for k in kept if k.split(",")[0] == name.split(",")[0])
    expected = {
        "gan-jax train / in a loop": long["gan-jax train"] / long["in a loop"],
        "gan-jax train / bare products": long["gan-jax train"] / long["bare products"],
        "step by step / in a loop": long["step by step"] / long["in a loop"],
    }
    if kept:
        best = max(kept, key=long.__getitem__)
        expected |= {
            f"{name} / {best}": long[name] / long[best] for name in ours if "step" not in name
        }
    assert ratios == pytest.approx(expected)


def test_long_turns_are_of_equal_time(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    script, done = importlib.import_module("train_throughput"), []

    def count(name: str):
        return lambda steps: done.append((name, steps))

    runs = {name: count(name) for name in ("in a loop", "PyTorch eager, 2 threads")}
    rates = script.long_turns(
        lambda steps: done.append(("gan-jax train", steps)) or 7.0,
        runs,
        {"in a loop": 20.0, "PyTorch eager, 2 threads": 5.0},
        train_steps=400,
        turns=2,
    )
    timed = [("gan-jax train", 400), ("in a loop", 400), ("PyTorch eager, 2 threads", 100)]
    assert [one for one in done if one[1] >= 100] == timed + timed[::-1]
    assert rates["gan-jax train"] == [7.0, 7.0] and {len(r) for r in rates.values()} == {2}


@pytest.mark.long
def test_mixtures(tmp_path):
    asked = ["--recipes", "infogan", "--datasets", "grid", "--seeds", "2", "--steps", "300"]
    (row,) = run("mixtures.py", tmp_path, *asked)["rows"]
    assert (row["recipe"], row["data"], row["steps"]) == ("infogan", "grid", 300)
    first, second = row["high_quality"]
    assert first != second  # each seed is a training of its own
    for modes, quality, divergence in zip(
        row["modes"], row["high_quality"], row["reverse_kl"], strict=True
    ):
        assert 0 < modes <= 25 and 0 < quality < 1
        assert math.log(25 / modes) - 1e-6 <= divergence <= math.log(25)


@pytest.mark.long
def test_semi_supervised(tmp_path):
    """On the digits, of which a few more have labels than not: both classifiers learn them."""
    asked = [str(tmp_path / "runs"), "--mnist", "digits", "--steps", "200"]
    (row,) = run("semi_supervised.py", tmp_path, *asked)["semi_supervised"]
    assert row["seed"] == 0
    assert 0.6 < row["with a generator"] <= 1.0 and 0.6 < row["without"] <= 1.0


@pytest.mark.long
def test_recipe_quality(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    script = importlib.import_module("recipe_quality")
    data, images, labels = str(tmp_path / "stripes.npz"), *striped_images(1_500, 0)
    np.savez(data, images=images, labels=labels)
    row = script.train_and_judge(tmp_path / "run", "cgan", data, 20, 1, ["--log-interval", "5"])
    assert (row["seed"], row["steps"], row["samples"]) == (1, 20, 150)
    distance, real = (row[name]["frechet_distance"] for name in ("metrics", "training_rows"))
    assert row["times_training_rows"] == pytest.approx(distance / real) and real > 0
    config = Config.from_toml(tmp_path / "run" / "config.toml")
    assert (config.recipe, config.data_seed, config.log_interval) == ("cgan", 1, 5)
    assert 0.0 < row["seconds"] < 600.0
