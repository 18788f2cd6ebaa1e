"""The run folder: never overwritten, cut back to a checkpoint, one process at a time."""

import json
import subprocess
import sys

import pytest
from conftest import tiny_config
from rich.console import Console

from gan_jax.errors import InputError
from gan_jax.runs import Run, load, new_run_dir
from gan_jax.train import train


def started(path, **changes) -> Run:
    run = Run.create(path)
    run.begin(tiny_config(**changes))
    return run


@pytest.fixture
def run(tmp_path):
    return started(tmp_path / "run")


def test_config_comes_back(run):
    assert Run.open(run.path).read_config() == tiny_config()


def test_a_run_is_never_written_into(run):
    before = run.config_path.read_bytes()
    with pytest.raises(InputError, match="holds a run already; go on with `gan-jax resume`"):
        Run.create(run.path)
    with pytest.raises(InputError, match="holds a run already"):
        run.begin(tiny_config(seed=1))  # as when another process was faster
    assert run.config_path.read_bytes() == before


@pytest.mark.parametrize("part", ["config.toml", "metrics.jsonl", "timing.jsonl", "checkpoints"])
def test_what_is_left_of_a_run_is_refused_before_data_are_loaded(part, tmp_path):
    (tmp_path / part).touch()
    config = tiny_config(dataset=str(tmp_path / "no data"))
    with pytest.raises(InputError, match="holds a run already"):
        train(config, tmp_path, console=Console(quiet=True))


def test_a_folder_without_a_run_is_fine(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    started(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_folder_can_be_made_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file/run: cannot be written"):
        Run.create(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="cannot be written"):
        Run.create(tmp_path / ("long" * 100))


def test_no_run_there(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="holds no run"):
        load(tmp_path / "nowhere")


def test_a_run_without_a_checkpoint(run):
    with pytest.raises(InputError, match="no checkpoint found"):
        load(run.path)


def test_cut_back(run):
    for step in (100, 200, 300):
        run.append_metrics({"step": step, "loss": float(step)})
        run.append_timing({"step": step})
        run.sample_path(step).write_bytes(b"")
    with open(run.metrics_path, "a") as file:
        file.write('{"step": 400, "lo')  # killed in the middle of a line
    run.cut_back(200)
    assert [record["step"] for record in run.read_metrics()] == [100, 200]
    assert len(run.timing_path.read_text().splitlines()) == 2
    assert [path.name for path in run.sample_paths()] == [
        "step-000000100.png",
        "step-000000200.png",
    ]
    run.append_metrics({"step": 300})
    assert [record["step"] for record in run.read_metrics()] == [100, 200, 300]


@pytest.mark.parametrize("foreign", [b'{"a": 1}', b"[1]", b"null", b"\xff", b'{"step": "2"}'])
def test_a_line_that_is_no_record_takes_none_with_it(run, foreign):
    run.append_metrics({"step": 1})
    with open(run.metrics_path, "ab") as file:
        file.write(foreign + b"\n")
    run.append_metrics({"step": 2})
    (run.samples_path / "step-x.png").write_bytes(b"")  # somebody else's
    partial = run.sample_path(1).with_suffix(".png.part")
    partial.write_bytes(b"half")
    run.cut_back(2)
    assert run.read_metrics() == [{"step": 1}, {"step": 2}] and not partial.exists()
    assert (run.samples_path / "step-x.png").exists() and run.sample_paths() == []
    others, own = run.path / "notes" / "a.toml.part", run.path / "curves.png.part"
    others.parent.mkdir()
    for path in (others, own):
        path.write_text("half")
    run.cut_back(2)
    assert others.exists() and not own.exists()
    assert not run.evaluations_path.exists()  # nor makes it what was not there


def test_lines_are_strict_json(run):
    run.append_metrics({"step": 1, "loss": float("nan"), "norm": float("inf"), "finite": False})
    (line,) = run.metrics_path.read_text().splitlines()
    record = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert record == {"step": 1, "loss": None, "norm": None, "finite": False}


def test_one_process_at_a_time(run):
    program = f"""
import sys
from gan_jax.errors import InputError
from gan_jax.runs import Run
for _ in sys.stdin:
    try:
        with Run({str(run.path)!r}).lock():
            print("got it", flush=True)
    except InputError as error:
        print(error, flush=True)
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as process:
        asked, said = process.stdin, process.stdout
        assert asked and said

        def other() -> str:
            asked.write("again\n")
            return said.readline().strip()

        with run.lock():
            assert "is training here" in (refusal := other()) and "process" in refusal
        assert other() == "got it"


def test_new_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = tiny_config()
    assert [str(new_run_dir(config)) for _ in range(2)] == ["runs/gan-ring-1", "runs/gan-ring-2"]
    elsewhere = tiny_config(recipe="../up", dataset="/data/my faces.npz")
    assert str(new_run_dir(elsewhere)) == "runs/.._up-my_faces-1"
    assert len(list((tmp_path / "runs").iterdir())) == 3
