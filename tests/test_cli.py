"""The command line as a person meets it: every command, every source of data, every mistake."""

import dataclasses
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import tyro
from conftest import SHARED, assert_same_bits, needs_shared, start_as_users_do
from PIL import Image
from test_data_sources import write_idx
from test_data_tfds import IMAGE, LABEL, prepare

from gan_jax import flags as flags_module
from gan_jax.assembly import from_config
from gan_jax.cli import main
from gan_jax.config import Config
from gan_jax.errors import InputError
from gan_jax.evaluation.verdict import BETTER, VERDICTS
from gan_jax.flags import _flags_of
from gan_jax.help import _entries, help_of
from gan_jax.losses import LOSSES
from gan_jax.names import FROM_DATA, NAMES
from gan_jax.networks import DISCRIMINATORS, GENERATORS
from gan_jax.networks.heads import HEADS
from gan_jax.networks.layers import ACTIVATIONS, INITIALIZERS, NORMALIZATIONS
from gan_jax.optimizers import DECAYS, OPTIMIZERS
from gan_jax.penalties import PENALTIES
from gan_jax.precision import PRECISIONS
from gan_jax.recipes import RECIPES, recipe
from gan_jax.runs import Run, load
from gan_jax.terms import TERMS

TINY = ["--generator.widths", "8", "--discriminator.widths", "8", "--batch-size", "16"]


def run_cli(*arguments, **options) -> subprocess.CompletedProcess:
    """A process of its own, as from a shell."""
    command = [sys.executable, "-m", "gan_jax", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


COMMANDS = ["train", "resume", "sample", "evaluate", "benchmark", "recipes"]


def test_help_tells_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^  (\w+) ", text, re.MULTILINE) == COMMANDS
    assert main([]) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: gan-jax {command}") and "None" not in text


BEFORE_JAX = [
    (["--help"], 0, "gan-jax COMMAND"),
    (["--version"], 0, f"gan-jax {version('gan-jax')}"),
    (["train", "--help"], 0, "--generator.latent-size"),
    (["trian"], 2, "did you mean 'train'?"),
    (["train", "--step", "3"], 2, "--step: no such option; did you mean --steps? (gan-jax"),
    (["train", "--stepps=3"], 2, "--stepps: no such option; did you mean --steps?"),
    (["train", "--generater.widths", "3"], 2, "did you mean --generator.widths?"),
    (["train", "--learning-rate", "3"], 2, "mean --generator-optimizer.learning-rate or --disc"),
    (["train", "--lr", "1"], 2, "--lr: no such option (gan-jax train --help lists all)"),
    (
        ["train", "--penaltis.r1", "1"],
        2,
        "--penaltis.r1: no such option; did you mean --penalties.r1?",
    ),
    (
        ["train", "--terms", "classes", "1"],
        2,
        "--terms: no such option; did you mean --terms.NAME?",
    ),
    (["sample"], 2, "gan-jax: RUN is missing (gan-jax sample --help tells what it is)"),
    (["train", "--no-print-config"], 2, "no such option; did you mean --print-config?"),
    (["resume", "--runs", "x"], 2, "--runs: no such option (gan-jax resume --help lists all)"),
    (["recipes", "--nam", "gan"], 2, "--nam: no such option (gan-jax recipes"),
    (["train", "--steps"], 2, "gan-jax: --steps: its value is missing"),
    (["train", "--average-decay", "x"], 2, "--average-decay: 'x' is not allowed; a number is"),
    (
        ["train", "--generator.widths", "3", "b"],
        2,
        "--generator.widths: '3', 'b' is not allowed; int",
    ),
    (["resume", "run", "--steps", "1e3"], 2, "--steps: '1e3' is not allowed; an integer is"),
    (["resume", "run", "--stop-when", "colapsed"], 2, "did you mean 'collapsed'?"),
    (["sample", "run", "--label", "cat"], 2, "--label: 'cat' is not allowed; an integer is"),
    (["train", "-steps", "3"], 2, "gan-jax: unrecognized options: -steps, 3 (gan-jax train --help"),
    (["train", "--", "--steps", "3"], 2, "unrecognized options: --steps, 3"),
    (["train", "--discriminator.no_minibatch-deviation", "--print-config"], 0, "= false"),
    (["sample", "run", "--cuont", "3"], 2, "did you mean --count?"),
    (["train", "--stop-when", "colapsed"], 2, "did you mean 'collapsed'?"),
    (["train", "--best-by", "recal"], 2, "did you mean 'recall'?"),
    (["train", "--dynamics.name", "unroled"], 2, "did you mean 'unrolled'?"),
    (["train", "--generator.condition", "yes"], 2, "'yes' is not one of none, concatenate"),
    (["train", "--recipe", "custom", "--print-config"], 0, 'recipe = "custom"'),
    (["resume", "~nobody-of-that-name/run"], 2, "~nobody-of-that-name/run: holds no run"),
    (["train", "--batch-size", "many"], 2, "--batch-size: 'many' is not allowed; an integer is"),
    (["train", "--recipe", "gann"], 2, "did you mean 'gan'?"),
    (["train", "--recipe=gann"], 2, "did you mean 'gan'?"),
    (["train", "--batch-size", "0"], 2, "batch_size: 0 is out of range; 1 to 65,536 is allowed"),
    (["train", "--config", "none.toml"], 2, "none.toml: cannot be read"),
    (["train", "--steps", "3", "--epochs", "3"], 2, "cannot be given together with --steps"),
    (["train", "--epochs", "3", "--print-config"], 2, "together with --print-config"),
    (["train", "--config="], 2, "cannot be read"),
    (["train", "--recipe", "concept", "--penalties.r1", "1", "--print-config"], 0, "r1 = 1.0"),
    (["train", "--penalties.wgan-gp=10", "--print-config"], 0, "wgan_gp = 10.0"),
    (
        ["train", "--penalties.r1", "0", "--penalties.r2=0", "--print-config"],
        0,
        "[penalties]\n\n[terms]",
    ),
    (["train", "--penalties.r7", "1", "--print-config"], 2, "penalties: 'r7' is not one of r1"),
    (["train", "--terms.", "1"], 2, "terms: '' is not one of classes"),
    (["train", "--loss", "hingee"], 2, "did you mean 'hinge'?"),
    (["train", "--generator.activation", "rela"], 2, "generator.activation: 'rela' is not one"),
    (["train", "--generator-optimizer.name", "adm"], 2, "generator_optimizer.name: 'adm' is not"),
    (["train", "--discriminator.name", "mpl"], 2, "discriminator.name: 'mpl' is not one of mlp"),
    (["train", "--epochs", "0"], 2, "--epochs: 0 is out of range; at least 1 is allowed"),
    (["train", "--seed", "1" + 320 * "0"], 2, "is out of range; 0 to 4,294,967,295 is allowed"),
    (["train", "--penalties.r1", "much"], 2, "--penalties.r1: 'much' is not a number"),
    (["train", "--penalties.r1", "-1"], 2, "penalties.r1: -1.0 is out of range"),
    (["train", "--sample-shape", "3"], 2, "comes from the data"),
    (["train", "--print-config"], 0, 'recipe = "gan"'),
    (["train", "--dataset", "mnit"], 2, "known data set; did you mean 'mnist'?"),
    (["train", "--dataset", "mnist"], 2, "storage.googleapis.com cannot be reached to download"),
    (["resume", "nowhere"], 2, "nowhere: holds no run"),
    (["sample", "nowhere", "--count", "3", "--output", "a.npz"], 2, "nowhere: holds no run"),
    (["recipes"], 0, "concept"),
    (["recipes", "concept"], 0, "learning_rate = 0.01"),
    (["recipes", "gann"], 2, "did you mean 'gan'?"),
]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What comes of each of these command lines, in one process that cannot import jax."""
    program = f"""
import contextlib, io, json, sys
sys.modules["jax"] = None  # importing it now fails
from gan_jax.cli import main

def answer(arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code
    return status, out.getvalue(), err.getvalue()

print(json.dumps([answer(arguments) for arguments in {[row[0] for row in BEFORE_JAX]!r}]))
"""
    offline = {"TFDS_DATA_DIR": "none", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    folder = tmp_path_factory.mktemp("answers")
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **offline},
    )
    assert list(folder.iterdir()) == [] and done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "row", range(len(BEFORE_JAX)), ids=lambda row: " ".join(BEFORE_JAX[row][0])
)
def test_answered_before_jax_is_imported(row, answers):
    _, status, text = BEFORE_JAX[row]
    found, output, errors = answers[row]
    assert (found, text in output + errors) == (status, True), output + errors
    if status:
        assert output == "" and len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "record"),
    [
        ("train", flags_module.TrainFlags(values=Config())),
        ("resume", flags_module.ResumeFlags),
        ("sample", flags_module.SampleFlags),
        ("evaluate", flags_module.EvaluateFlags),
        ("benchmark", flags_module.BenchmarkFlags),
        ("recipes", flags_module.RecipesFlags),
    ],
)
def test_options_that_are_suggested_are_there(command, record, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    offered = set(re.findall(r"--[a-z][\w.-]*\w", capsys.readouterr().out)) - {"--help"}
    known = set(flags_module._flags_of(record, "--")) - {f"--{name}" for name in FROM_DATA}
    weights = re.compile("--(penalties|terms|PLAYER)").match
    assert {name for name in known if not weights(name)} == {n for n in offered if not weights(n)}


def test_the_training_module_answers_before_jax_is_imported(tmp_path):
    program = """
import runpy, sys
sys.modules["jax"] = None
sys.argv[1:] = ["--loss", "hingee"]
runpy.run_module("gan_jax.train", run_name="__main__", alter_sys=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("gan-jax: loss: 'hingee' is not one of minimax")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--steps"], "--steps: its value is missing"),
        (
            ["train", "--discriminator-optimizer.learning-rate", "fast" * 12],
            f"--discriminator-optimizer.learning-rate: '{'fast' * 12}' is not allowed; a number is",
        ),
    ],
)
def test_refusals_of_a_narrow_terminal_with_colours(arguments, said, monkeypatch, capsys):
    class Terminal(io.StringIO):
        encoding = "utf-8"  # pyright: ignore[reportAssignmentType]

        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "44")
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"gan-jax: {said}\n"
    assert os.environ["COLUMNS"] == "44"


def test_a_terminal_without_a_sign_for_it(tmp_path, monkeypatch, capsys):
    """The progress line has dots that ASCII has not."""
    monkeypatch.chdir(tmp_path)
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert main(["train", "--dataset", "ring", "--steps", "2", *TINY]) == 0
    sys.stdout.flush()
    assert re.search(rb"step 2/2 .*\? told apart", written.getvalue())
    assert capsys.readouterr().err == ""


def told(field: str, discriminator: str = "none") -> list[str]:
    """The names that a field allows, as the refusal of another has them."""
    record, name = field.split(".")
    values = {"classes": 10, "discriminator": {"condition": discriminator}}
    values[record] = {name: "?"}
    with pytest.raises(InputError, match=f"{field}: '.' is not one of ") as caught:
        from_config(Config.from_dict(values))
    return str(caught.value).partition(" is not one of ")[2].split(", ")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [80, 120])
def test_help_fits_the_terminal(command, width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit):
        main([command, "--help"])
    longest = max(map(len, capsys.readouterr().out.splitlines()))
    assert longest <= width and (longest > width - 10 or command != "train")


@pytest.mark.parametrize("name", [name for name in flags_module.__all__ if "Flags" in name])
def test_help_says_what_each_option_is(name):
    kind = getattr(flags_module, name)
    record = kind(values=Config()) if name == "TrainFlags" else kind
    entries = [*_entries(record, "")]
    if name == "TrainFlags":
        for field in dataclasses.fields(Config):
            part = getattr(Config(), field.name)
            prefix = f"{field.name.replace('_', '-')}."
            entries += _entries(part, prefix) if dataclasses.is_dataclass(part) else []
    assert all(re.match(r"\w", text) for _, text in entries)
    # All that can be given, and no other.
    options = {word.strip(",") for option, _ in entries for word in option.split() if "--" in word}
    known = {re.sub(r"(penalties|terms)\..*", r"\1.NAME", flag) for flag in _flags_of(record, "--")}
    assert options == known - {f"--{field}" for field in FROM_DATA}
    places = {"ResumeFlags": "RUN", "SampleFlags": "RUN", "EvaluateFlags": "[RUN]"}
    places["RecipesFlags"] = "[NAME]"
    assert [option for option, _ in entries if option[0] != "-"] == [
        place for kind, place in places.items() if kind == name
    ]


def test_help_of_a_positional_behind_options():
    @dataclasses.dataclass
    class Flags:
        """Do something."""

        first: bool = False
        """The first."""
        run: tyro.conf.Positional[str] = "x"
        """The run."""
        last: bool = False
        """The last."""

    told = help_of("try", Flags, 80)
    assert told.startswith("usage: gan-jax try [RUN] [OPTIONS]")
    assert [told.count(word) for word in ("--first", "[RUN]", "--last")] == [1, 2, 1]


def test_help_tells_defaults_of_the_recipe(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--recipe", "wgan-gp", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "--loss TEXT what each player minimises (default: wasserstein)" in told
    assert "--penalties.NAME X gamma, by name (default: wgan_gp 10)" in told
    assert "--terms.NAME X weight, by name --" in told
    assert "--config FILE.toml Values in place of the recipe's; flags replace both. --" in told


def test_help_lists_the_names_there_are(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    for player in ("generator", "discriminator"):
        assert f"The {player}'s optimiser.\n  --{player}-optimizer.name" in text
    tables = {
        "recipe": RECIPES,
        "loss": LOSSES,
        "penalties.NAME": PENALTIES,
        "terms.NAME": TERMS,
        "PLAYER.name": GENERATORS,
        "PLAYER.activation": ACTIVATIONS,
        "PLAYER.initializer": INITIALIZERS,
        "PLAYER.normalization": NORMALIZATIONS,
        "generator.condition": told("generator.condition", discriminator="projection"),
        "discriminator.condition": told("discriminator.condition"),
        "discriminator.head": HEADS,
        "PLAYER-optimizer.name": OPTIMIZERS,
        "decay.shape": DECAYS,
        "dynamics.name": told("dynamics.name"),
        "precision": PRECISIONS,
        "best-by": BETTER,
        "stop-when": VERDICTS,
    }
    listed = {name.removeprefix("--"): list(names) for name, names in NAMES.items()}
    assert listed == {name: list(table) for name, table in tables.items()}
    assert set(DISCRIMINATORS) == set(GENERATORS)
    listed = " ".join(text.rpartition("names (PLAYER")[2].split())
    assert all(", ".join(table) in listed for table in tables.values())


def test_recipes_for_other_data_are_told(tmp_path, capsys):
    arguments = ["--steps", "1", *TINY, "--run-dir"]
    assert main(["train", "--dataset", "ring", *arguments, str(tmp_path / "a")]) == 0
    assert "--recipe points is made for them" in capsys.readouterr().out
    assert main(["train", "--recipe", "points", *arguments, str(tmp_path / "b")]) == 0
    assert "made for points; --recipe gan is for images" in capsys.readouterr().out


def test_printed_config_is_a_config(tmp_path, capsys):
    flags = ["--recipe", "concept", "--seed", "7", "--generator.widths", "3", "4"]
    assert main(["train", *flags, "--print-config"]) == 0
    text = capsys.readouterr().out
    values = tomllib.loads(text)
    assert (values["seed"], values["generator"]["widths"], values["recipe"]) == (
        7,
        [3, 4],
        "concept",
    )
    (tmp_path / "c.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "c.toml"), "--print-config"]) == 0
    assert capsys.readouterr().out == text


def test_flags_replace_the_file_and_the_file_the_recipe(tmp_path, capsys):
    (tmp_path / "c.toml").write_text("seed = 5\nsteps = 77\n[generator]\nlatent_size = 9\n")
    arguments = [
        "train",
        "--recipe",
        "concept",
        "--config",
        str(tmp_path / "c.toml"),
        "--seed",
        "6",
    ]
    assert main([*arguments, "--print-config"]) == 0
    values = tomllib.loads(capsys.readouterr().out)
    assert (values["seed"], values["steps"], values["generator"]["latent_size"]) == (6, 77, 9)
    assert values["generator"]["widths"] == [128]


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ('recipe = "concept"', [], "concept"),
        ('recipe = "concept"', ["--recipe", "concept"], "concept"),
        ("seed = 1", ["--recipe", "concept"], "concept"),
        ("seed = 1", ["--recipe", "concept", "--recipe=gan"], "gan"),
        ("seed = 1", [], "gan"),
    ],
)
def test_values_are_those_of_the_recipe_named(text, flags, expected, tmp_path, capsys):
    (tmp_path / "c.toml").write_text(text)
    assert main(["train", "--config", str(tmp_path / "c.toml"), *flags, "--print-config"]) == 0
    values = tomllib.loads(capsys.readouterr().out)
    assert values["generator"]["widths"] == list(RECIPES[expected].config.generator.widths)


def test_a_recipe_in_a_file_must_exist(tmp_path, capsys):
    (tmp_path / "c.toml").write_text('recipe = "gann"')
    assert main(["train", "--config", str(tmp_path / "c.toml"), "--print-config"]) == 2
    assert "recipe: 'gann' is not one of" in capsys.readouterr().err


def test_every_recipe_is_listed_with_its_source(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all("arXiv:" in line for line in lines)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, tuple[list[str], tuple[int, ...]]]:
    """Arguments and sample shape for each kind of data."""
    tmp_path = tmp_path_factory.mktemp("sources")
    random = np.random.default_rng(0)
    grey = random.integers(0, 256, (60, 6, 5), dtype=np.uint8)
    color = random.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "grey.npz", images=grey, labels=np.arange(60) % 3)
    np.save(tmp_path / "color.npy", color)
    np.save(tmp_path / "points.npy", random.normal(size=(60, 4)).astype(np.float32))
    for index, image in enumerate(color):
        folder = tmp_path / "folder" / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index}.png")
    found = {
        "digits": (["digits"], (28, 28, 1)),
        "ring": (["ring"], (2,)),
        "grid": (["grid"], (2,)),
        "npz": ([str(tmp_path / "grey.npz")], (6, 5, 1)),
        "npy": ([str(tmp_path / "color.npy")], (6, 5, 3)),
        "points": ([str(tmp_path / "points.npy")], (4,)),
        "folder": ([str(tmp_path / "folder")], (6, 5, 3)),
    }
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx" / "train-images-idx3-ubyte.gz", grey)
    rows = [
        {"image": Image.fromarray(image), "label": index % 7} for index, image in enumerate(color)
    ]
    prepare(tmp_path / "tfds", {"train": rows}, image=IMAGE, label=LABEL)
    found["idx"] = ([str(tmp_path / "idx")], (6, 5, 1))
    found["tfds"] = (["tiny", "--data-dir", str(tmp_path / "tfds")], (6, 5, 3))
    mnist = ["mnist", "--data-dir", str(SHARED / "data" / "tfds")]
    found["mnist of tfds"] = (mnist, (28, 28, 1))
    found["mnist of idx"] = ([str(SHARED / "data" / "mnist")], (28, 28, 1))
    return found


@pytest.mark.parametrize(
    "name",
    ["digits", "ring", "grid", "npz", "npy", "points", "folder", "idx", "tfds"]
    + [pytest.param(each, marks=needs_shared) for each in ("mnist of tfds", "mnist of idx")],
)
def test_two_steps_of_every_source(name, sources, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset, shape = sources[name]
    flags = ["--recipe", "concept", "--steps", "2", "--run-dir", "run", *TINY]
    assert main(["train", "--dataset", *dataset, *flags]) == 0
    run = Run("run")
    assert run.read_config().sample_shape == shape
    assert run.checkpoints.steps() == [2]
    with Image.open(run.final_path) as picture:
        assert picture.size[0] > 500

    assert main(["sample", "run"]) == 0
    with Image.open("samples.png") as picture:  # a hundred
        assert picture.size[0] > 500
    assert main(["sample", "run", "--count", "7", "--output", "s.npz"]) == 0
    with np.load("s.npz") as file:
        (field,) = file.files
        samples = file[field]
    if len(shape) == 3:
        expected = (7, *shape[:2]) if shape[2] == 1 else (7, *shape)
        assert (field, samples.dtype, samples.shape) == ("images", np.uint8, expected)
    else:
        assert (field, samples.dtype, samples.shape) == ("samples", np.float32, (7, *shape))
    assert sorted(path.name for path in run.samples_path.iterdir()) == ["step-000000000.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "no_such_set_anywhere"], "no_such_set_anywhere"),
        (["--dataset", "./missing.npz"], "missing.npz"),
        (["--dataset", "empty"], "empty"),
        # Before data are read, which may take long.
        (["--loss", "hing", "--dataset", "empty"], "loss: 'hing' is not one of"),
        (["--terms.class", "1"], "terms: 'class' is not one of"),
        (["--generator.activation", "swish"], "generator.activation: 'swish' is not one of"),
        (["--batch-size", "5000"], "batch_size: a step takes 5000 rows; digits has 1617"),
        (["--run-dir", "file/below"], "file/below: cannot be written"),
        (["--run-dir", "n" * 300], "cannot be written"),
        (["--run-dir", "old"], "old: holds a run already"),
    ],
)
def test_mistakes_cost_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.toml").write_text("seed = 1\n")
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "--steps", "2", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gan-jax: ") and message in error and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("s.jpg", "output: s.jpg ends in '.jpg'; .npz or .png is allowed"),
        ("no/s.npz", "there is no folder no"),
    ],
)
def test_output_is_checked_before_any_work(output, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dataset", "ring", "--steps", "1", "--run-dir", "run", *TINY]) == 0
    assert main(["sample", "run", "--count", "3", "--output", output]) == 2
    assert message in capsys.readouterr().err
    assert main(["sample", "run", "--count", "0", "--output", "s.npz"]) == 2
    assert "count: 0 is out of range" in capsys.readouterr().err
    assert main(["sample", "run", "--count", "3", "--output", "s.npz", "--seed", str(2**64)]) == 2
    assert "seed: 18446744073709551616 is out of range" in capsys.readouterr().err
    assert main(["sample", "run", "--count", "10001", "--output", "s.png"]) == 2
    assert "count: 10,001 is out of range" in capsys.readouterr().err
    assert not (tmp_path / "s.npz").exists()


SLOW = ["--dataset", "ring", "--seed", "3", "--log-interval", "50", "--checkpoint-interval", "5000"]
SLOW += ["--picture-interval", "100000", *TINY]


def wait_for_lines(path: Path, lines: int, process: subprocess.Popen) -> None:
    """Until the training has logged that often."""
    deadline = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "the training never got going"
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_while_starting(number, status, tmp_path):
    program = f"""
import gc, os, signal, sys
from gan_jax import cli
import jax  # whose callback of the garbage collector swallows exceptions

signal.signal({int(number)}, signal.SIG_DFL)  # it may be ignored where tests run in the background

def start():
    gc.callbacks.append(lambda *_: os.kill(os.getpid(), {int(number)}))
    gc.collect()

cli.environment.prepare = start
sys.exit(cli.main(["train", "--steps", "1"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "gan-jax: stopped\n")
    assert list(tmp_path.iterdir()) == []


def test_stopped_by_signals_and_resumed(tmp_path):
    """Stopped three times through the command line, at moments no one chose: the same bits.

    As users compile them; other tests compile theirs in less time. The last leg and the run that
    never stopped share a process.
    """
    command = [sys.executable, "-m", "gan_jax"]
    start = [*command, "train", "--steps", "100000000", "--run-dir", "run", *SLOW]
    go_on = [*command, "resume", "run"]
    reached = 0
    stops = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
    for attempt, (number, status) in enumerate(stops):
        process = start_as_users_do(go_on if attempt else start, cwd=tmp_path)
        wait_for_lines(tmp_path / "run" / "metrics.jsonl", reached // 50 + 3, process)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, (output, errors)
        assert errors == "" and "go on" in output
        stopped = Run(tmp_path / "run").checkpoints.steps()[-1]
        assert stopped > reached and f"stopped at step {stopped:,}" in output
        reached = stopped
    total = ["--steps", str(reached + 10)]
    last = [["train", "--run-dir", "whole", *SLOW, *total], [*go_on[3:], *total]]
    both = f"import sys, gan_jax.cli as cli; sys.exit(any([cli.main(c) for c in {last}]))"
    process = start_as_users_do([sys.executable, "-c", both], cwd=tmp_path)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, ""), output
    stopped, whole = Run(tmp_path / "run"), Run(tmp_path / "whole")
    assert_same_bits(load(stopped.path)[1], load(whole.path)[1])
    assert stopped.metrics_path.read_bytes() == whole.metrics_path.read_bytes()


def test_killed_and_resumed(tmp_path, monkeypatch):
    """SIGKILL leaves no chance to save: the run goes on from its last checkpoint, same bits."""
    flags = [*SLOW, "--checkpoint-interval", "200"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gan_jax",
            "train",
            "--steps",
            "100000000",
            "--run-dir",
            "run",
            *flags,
        ],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for_lines(tmp_path / "run" / "metrics.jsonl", 15, process)
    process.kill()
    process.wait()
    run = Run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    total = str(run.checkpoints.steps()[-1] + 330)
    assert main(["resume", "run", "--steps", total]) == 0
    assert main(["train", "--steps", total, "--run-dir", "whole", *flags]) == 0
    whole = Run(tmp_path / "whole")
    assert_same_bits(load(run.path)[1], load(whole.path)[1])
    assert run.metrics_path.read_bytes() == whole.metrics_path.read_bytes()


def test_the_training_module_is_a_command(tmp_path):
    flags = ["--dataset", "ring", "--steps", "2", "--run-dir", "run", *TINY]
    done = subprocess.run(
        [sys.executable, "-m", "gan_jax.train", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error::RuntimeWarning:runpy"},
    )
    assert done.returncode == 0, done.stderr
    assert Run(tmp_path / "run").checkpoints.steps() == [2]
    assert "next:" in done.stdout and "\x1b" not in done.stdout


def test_run_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        assert main(["train", "--dataset", "ring", "--steps", "1", *TINY]) == 0
        assert (tmp_path / "runs" / f"gan-ring-{number}" / "config.toml").is_file()


def test_divergence_has_a_status_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--loss", "least_squares", "--steps", "500", "--log-interval", "50"]
    for player in ("generator", "discriminator"):
        flags += [f"--{player}-optimizer.name", "sgd", f"--{player}-optimizer.learning-rate", "1e3"]
    assert main(["train", "--dataset", "ring", *flags, *TINY, "--run-dir", "run"]) == 1
    assert "diverged: at step" in capsys.readouterr().out


def test_commands_named_at_the_end_work_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "ring", "--steps", "2", "--run-dir", "a b/c", *TINY]
    assert main(["train", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    commands = [line.split("gan-jax ", 1)[1] for line in lines if " gan-jax " in line]
    assert len(commands) == 3
    for command in commands:
        assert main(shlex.split(command)) == 0


def test_who_read_along_has_gone(tmp_path):
    """As `| head` does: the training ends as it would have, and what is printed at once is cut."""
    flags = ["--dataset", "ring", "--steps", "3", "--run-dir", "run", *TINY]
    for arguments, status in ((["train", *flags], 0), (["recipes"], 141)):
        process = subprocess.Popen(
            [sys.executable, "-m", "gan_jax", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout and process.stderr
        process.stdout.close()
        with process.stderr as errors:
            assert (process.wait(120), errors.read()) == (status, b"")
    assert Run(tmp_path / "run").checkpoints.steps() == [3]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "a.png"), "a.png: No space left on device"),
        (MemoryError("Unable to allocate 9 TiB"), "memory: there is too little (Unable to"),
    ],
)
def test_what_the_system_refuses(error, message, monkeypatch, capsys):
    def refused(*_, **__):
        raise error

    monkeypatch.setattr("gan_jax.train.train", refused)
    assert main(["train", "--steps", "1"]) == 2
    assert capsys.readouterr().err.startswith(f"gan-jax: {message}")


def test_a_file_of_one_recipe_and_the_name_of_another(tmp_path, capsys):
    """The file's values would be trained under the other's name."""
    (tmp_path / "c.toml").write_text('recipe = "cgan"')
    flags = ["--config", str(tmp_path / "c.toml"), "--print-config"]
    assert main(["train", *flags, "--recipe", "concept"]) == 2
    assert re.search("--recipe: 'concept' .* is of 'cgan'", capsys.readouterr().err)


def test_a_folder_without_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--run-dir", "", "--steps", "1"]) == 2
    assert "--run-dir: empty" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_more_samples_than_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Run.create("run").begin(recipe("gan"))
    assert main(["sample", "run", "--count", "1000000000", "--output", "s.npz"]) == 2
    assert "count: 1,000,000,000 samples are 784,000,000,000 bytes" in capsys.readouterr().err
    assert not Path("s.npz").exists()


def test_no_advice_to_train_at_a_rate_of_zero(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--dataset", "ring", "--steps", "2", "--decay.horizon", "2", *TINY]
    assert main(["train", *flags, "--run-dir", "run"]) == 0
    assert "train on" not in capsys.readouterr().out
