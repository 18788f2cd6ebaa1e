"""What benchmarks/plot.py draws of figures, and that it draws the same bytes of the same ones."""

import itertools
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.text import Text
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "plot.py"

RATES = {  # in another order than they are drawn
    "PyTorch compiled, 2 threads": [30.0, 29.0, 33.0],
    "PyTorch eager, 1 thread": [20.0, 22.0, 90.0],  # the best turn, not the best median
    "PyTorch eager, 2 threads": [25.0, 24.0, 26.0],
    "PyTorch fused Adam, 1 thread": [28.0, 27.0, 29.0],
    "PyTorch fused Adam, 2 threads": [21.0, 22.0, 23.0],
    "64 one by one": [1.0, 1.0, 1.0],
    "bare products": [70.0, 71.0, 72.0],
    "step by step": [50.0, 51.0, 49.0],
    "in a loop": [66.0, 60.0, 61.0],
    "gan-jax train": [62.0, 65.0, 64.0],
}


LONG = {name: [0.9 * rate for rate in rates] for name, rates in RATES.items() if "1" not in name}


@pytest.fixture(scope="module")
def plot() -> dict:
    return runpy.run_path(str(SCRIPT))


def figures(size: str, rates: dict | None = None, **more) -> dict:
    facts = {"machine": "abacus, 2 cores", "commit": "0123abc"}
    versions = {"python": "3.11.7", "jax": "0.10.2", "torch": "2.13.0"}
    return {**facts, "versions": versions, "size": size, "rates": rates or RATES, **more}


def write(folder: Path, **files: dict) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def run(results: Path, output: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SCRIPT), "--results", str(results), "--output", str(output)]
    return subprocess.run(command, capture_output=True, text=True, cwd=results)


def test_long_turns_are_drawn_alone(plot):
    """Steps of a short turn and of a long one are not compared."""
    assert plot["rates"](figures("concept", long_rates=LONG)) == LONG
    assert plot["rates"](figures("concept")) == RATES


def test_bars_are_the_best_of_each_kind_in_order(plot):
    assert plot["bars"](RATES) == [
        ("gan-jax train", 64.0, 62.0, 65.0),
        ("its steps in a loop", 61.0, 60.0, 66.0),
        ("one call a step", 50.0, 49.0, 51.0),
        ("PyTorch eager", 25.0, 24.0, 26.0),
        ("PyTorch fused Adam", 28.0, 27.0, 29.0),
        ("PyTorch compiled", 30.0, 29.0, 33.0),
    ]
    # On a GPU there are no threads to choose.
    some = {"PyTorch CUDA graph": [9.0], "PyTorch eager": [2.0], "in a loop": [8.0]}
    assert plot["bars"](some) == [
        ("its steps in a loop", 8.0, 8.0, 8.0),
        ("PyTorch eager", 2.0, 2.0, 2.0),
        ("PyTorch CUDA graph", 9.0, 9.0, 9.0),
    ]


def test_files_that_are_there_in_order(plot, tmp_path):
    def titles() -> list[str]:
        return [plot["title"](found) for found in plot["read"](tmp_path)]

    assert titles() == []
    write(tmp_path, train_throughput_wide=figures("wide"), memory={"multiples": {}})
    assert titles() == ["wide"]
    bfloat16 = figures("wide", precision="bfloat16")
    write(tmp_path, train_throughput_a=bfloat16, train_throughput_gan=figures("gan"))
    write(tmp_path, train_throughput=figures("concept", precision="float32", device="cpu"))
    assert titles() == ["concept", "gan", "wide", "wide in bfloat16"]
    write(tmp_path, train_throughput_h100=figures("concept", precision="tf32", device="H100"))
    assert titles()[3:] == ["wide in bfloat16", "concept in tf32 on a GPU"]


def test_caption_says_once_what_is_the_same(plot):
    line = "abacus, 2 cores, jax 0.10.2, torch 2.13.0, commit 0123abc"
    same = [figures("concept"), figures("gan")]
    assert plot["caption"](same) == line
    other = figures("wide", commit="4567def", versions={"jax": "0.11.0"}, device="TPU v5")
    assert plot["caption"]([*same, other]) == (
        f"concept and gan: {line}\n"
        "wide on a TPU: TPU v5, abacus, 2 cores, jax 0.11.0, commit 4567def"
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_no_text_is_cut_or_crossed(plot, count):
    sizes = ("concept", "gan", "wide", "other")[:count]
    figure = plot["draw"]([figures(size) for size in sizes])
    figure.draw_without_rendering()
    assert len(figure.axes) == count

    def apart(boxes: list) -> bool:
        return not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))

    panels = [axes.get_tightbbox() for axes in figure.axes]
    boxes = panels + [text.get_window_extent() for text in figure.texts]
    assert len(boxes) == count + 2 and apart(boxes)
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)
    for axes, size in zip(figure.axes, sizes, strict=True):
        texts = [child for child in axes.get_children() if isinstance(child, Text)]
        found = {text.get_text(): text.get_window_extent() for text in texts if text.get_text()}
        values = ["64.0", "61.0", "50.0", "25.0", "28.0", "30.0"]
        assert list(found) == [*values, "bare matrix products (XLA): 71.0", size]
        assert apart(list(found.values()))
        (line,) = axes.lines
        where = line.get_window_extent().x0
        assert not any(found[value].x0 <= where <= found[value].x1 for value in values)


def test_same_figures_same_bytes(tmp_path):
    results = write(
        tmp_path / "results",
        train_throughput=figures("concept"),
        train_throughput_wide=figures("wide", {"in a loop": [2.0], "bare products": [3.0]}),
    )
    once, again = tmp_path / "deep" / "once", tmp_path / "again"
    for output in (once, again):
        done = run(results, output)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in output.iterdir()} == {"throughput.svg", "throughput.png"}
    for path in once.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    with Image.open(once / "throughput.png") as picture:
        assert picture.width == 1000
        assert picture.convert("RGBA").getpixel((0, 0)) == (255, 255, 255, 255)
    assert "<dc:date>" not in (once / "throughput.svg").read_text()


def test_no_figures_are_said_in_one_line(tmp_path):
    done = run(write(tmp_path / "results", memory={}), tmp_path / "pictures")
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.splitlines()
    assert line == f"plot.py: no train_throughput*.json in {tmp_path / 'results'}"
    assert not (tmp_path / "pictures").exists()
