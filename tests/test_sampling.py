"""Samples of a run: which labels a conditional generator is asked for, and what is written."""

import os
import signal

import jax
import numpy as np
import pytest
from conftest import quiet
from PIL import Image

from gan_jax.assembly import from_config
from gan_jax.cli import main
from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.files import replacing
from gan_jax.judges import labels_to_ask
from gan_jax.report import draw_images, to_uint8
from gan_jax.runs import Run, load
from gan_jax.sampling import (
    _BLOCK,
    by_class,
    categories_in_turn,
    labels_in_turn,
    sample_run,
    sampler,
    write_samples,
)
from gan_jax.session import _PICTURE_FOLD
from gan_jax.signals import stopped_at_once
from gan_jax.train import train

CONDITIONAL = Config(
    dataset="digits",
    steps=2,
    generator=GeneratorConfig(latent_size=4, widths=(8,), condition="concatenate"),
    discriminator=DiscriminatorConfig(widths=(8,), condition="concatenate"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("conditional") / "run"
    return train(CONDITIONAL, folder, console=quiet()).run


def with_classes(classes: int, condition: str = "concatenate") -> Config:
    return Config(classes=classes, generator=GeneratorConfig(condition=condition))


@pytest.mark.parametrize(
    ("count", "asked", "expected"),
    [
        (6, None, [0, 0, 1, 1, 2, 2]),
        (4, [2, 0], [2, 2, 0, 0]),
        (3, [1], [1, 1, 1]),
        (2, None, [0, 1]),
        (4, None, [0, 0, 1, 2]),
    ],
)
def test_labels_in_turn(count, asked, expected):
    labels = labels_in_turn(with_classes(3), count, asked)
    assert labels is not None and labels.dtype == np.int32 and labels.tolist() == expected


def test_labels_that_cannot_be_asked_for():
    assert labels_in_turn(with_classes(3, "none"), 4) is None
    with pytest.raises(InputError, match="labels: this generator is not conditional"):
        labels_in_turn(with_classes(3, "none"), 4, [1])
    for label in (-1, 3):
        with pytest.raises(InputError, match=f"labels: {label} is out of range; 0 to 2 is allowed"):
            labels_in_turn(with_classes(3), 4, [0, label])


def test_labels_decide_each_row(run, monkeypatch):
    gan, state = load(run.path)
    monkeypatch.setattr("gan_jax.sampling._BLOCK", 4)  # three blocks, the last one not full
    labels = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5], np.int32)
    whole = sampler(gan)(state, 9, labels=labels)
    other = labels.copy()
    other[5] = 0
    changed = (sampler(gan)(state, 9, labels=other) != whole).any(axis=(1, 2, 3))
    assert changed.tolist() == [False] * 5 + [True] + [False] * 3
    np.testing.assert_array_equal(sampler(gan)(state, 6, labels=labels[:6]), whole[:6])


def test_temperature_is_asked_for(run, tmp_path, capsys):
    """At 0 all samples of a label are one, at the config's own they are what is drawn anyway."""

    def drawn(*asked: str) -> np.ndarray:
        output = str(tmp_path / "s.npz")
        command = ["sample", str(run.path), "--count", "3", "--label", "3", "--output", output]
        assert main([*command, *asked]) == 0
        with np.load(output) as file:
            return file["images"]

    plain, one = drawn(), drawn("--temperature", "0")
    np.testing.assert_array_equal(drawn("--temperature", "1.0"), plain)
    assert (one == one[0]).all() and not (plain == plain[0]).all()
    assert main(["sample", str(run.path), "--temperature", "-1"]) == 2
    assert "generator.temperature: -1.0 is out of range" in capsys.readouterr().err


def test_categories_decide_each_row():
    generator = GeneratorConfig(latent_size=4, categories=3, widths=(8,))
    config = Config(generator=generator, discriminator=DiscriminatorConfig(widths=(8,)))
    gan = from_config(config)
    state, sample = gan.init(jax.random.key(2)), sampler(gan, 3)
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))[0]
    drawn = np.asarray(gan.game.draw_latents(key, _BLOCK)[:20, -3:].argmax(axis=1))
    whole = sample(state, 20)
    np.testing.assert_array_equal(sample(state, 20, categories=drawn), whole)
    other = drawn.copy()
    other[5] = (other[5] + 1) % 3
    changed = (sample(state, 20, categories=other) != whole).any(axis=(1, 2, 3))
    assert np.flatnonzero(changed).tolist() == [5]
    asked = categories_in_turn(config, 4, [2, 0])
    assert asked is not None and asked.tolist() == [2, 2, 0, 0]
    assert categories_in_turn(config, 4) is None
    with pytest.raises(InputError, match="categories: 3 is out of range; 0 to 2 is allowed"):
        categories_in_turn(config, 4, [3])


def test_a_row_of_a_grid_is_of_one_class():
    """In the order the classes were asked for; what a class lacks is dark."""
    samples = np.arange(1, 7, dtype=np.uint8).reshape(6, 1, 1, 1)
    rows, columns = by_class(samples, np.array([7, 7, 7, 2, 2, 4]))
    assert columns == 3 and rows.ravel().tolist() == [1, 2, 3, 4, 5, 0, 6, 0, 0]


@pytest.mark.parametrize(
    ("classes", "count", "shape"), [(10, 100, (10, 10)), (2, 1_000, (32, 32)), (3, 7, (3, 3))]
)
def test_a_grid_by_class_is_about_square(classes, count, shape):
    """A thousand images of two classes in a row for each would be a picture of 12,501 x 43."""
    samples = np.arange(1, count + 1).reshape(count, 1, 1, 1)
    labels = np.arange(count) * classes // count
    rows, columns = by_class(samples, labels)
    assert columns == shape[1] and len(rows) == shape[0] * shape[1]
    shown = rows.reshape(classes, -1)
    for label in range(classes):
        of_class = shown[label][shown[label] > 0]
        assert of_class.tolist() == samples[labels == label].ravel().tolist()


def test_a_hundred_classes_of_one_image_are_no_column():
    samples = np.zeros((100, 1, 1, 1))
    assert by_class(samples, np.arange(100)) == (samples, None)


def test_a_file_is_whole_or_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "s.npz"
    write_samples(np.zeros((2, 3), np.float32), path)
    before = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match=r"s.npz: cannot be written \(No space left on device\)"):
        write_samples(np.ones((2, 3), np.float32), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_ctrl_c_leaves_no_half_file(tmp_path, monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with stopped_at_once(), replacing(tmp_path / "s.npz") as partial:
        partial.write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == [143] and not partial.exists()
        partial.write_text("whole")
    assert (tmp_path / "s.npz").read_text() == "whole"


def test_written_with_their_labels(run, tmp_path):
    samples = np.zeros((6, 4, 5, 1), np.uint8)
    write_samples(samples, tmp_path / "s.npz", np.array([0, 0, 1, 1, 2, 2]))
    with np.load(tmp_path / "s.npz") as file:
        assert file["labels"].tolist() == [0, 0, 1, 1, 2, 2] and file["images"].shape == (6, 4, 5)
    write_samples(samples, tmp_path / "s.npz", categories=np.array([4, 4, 4, 1, 1, 1]))
    with np.load(tmp_path / "s.npz") as file:
        assert file["categories"].tolist() == [4, 4, 4, 1, 1, 1] and "labels" not in file
    for labels, rows, columns in (
        ([0, 0, 1, 1, 2, 2], 3, 2),
        ([0, 0, 0, 1, 1, 2], 3, 3),
        ([1] * 6, 2, 3),
        (None, 2, 3),
    ):
        write_samples(samples, tmp_path / "s.png", None if labels is None else np.array(labels))
        with Image.open(tmp_path / "s.png") as picture:
            shape = (columns * 6 + 1, rows * 5 + 1)
            assert picture.width * shape[1] == picture.height * shape[0]


def test_command(run, tmp_path, capsys):
    def sampled(*flags: str) -> list[int]:
        output = tmp_path / "s.npz"
        assert main(["sample", str(run.path), "--output", str(output), *flags]) == 0
        with np.load(output) as file:
            return file["labels"].tolist()

    assert sampled("--count", "20") == [digit for digit in range(10) for _ in range(2)]
    assert sampled("--count", "3", "--label", "7") == [7, 7, 7]
    assert sampled("--count", "3", "--labels", "0,1,2") == [0, 1, 2]
    capsys.readouterr()
    for flags, message in (
        (["--label", "10"], "labels: 10 is out of range; 0 to 9 is allowed"),
        (["--labels", "0,x"], "--labels: '0,x' is not a list of integers such as 0,1,2"),
        (["--labels", "1", "--label", "1"], "--label: cannot be given together with --labels"),
        (["--category", "1"], "categories: this generator's latents hold none"),
        (["--category", "1", "--categories", "1"], "--category: cannot be given together with"),
    ):
        arguments = ["sample", str(run.path), "--count", "3", "--output", str(tmp_path / "n.npz")]
        assert main([*arguments, *flags]) == 2
        assert message in capsys.readouterr().err


def test_pictures_of_a_run_have_a_class_to_a_row(run):
    gan, state = load(run.path)
    key = jax.random.fold_in(jax.random.key(0), _PICTURE_FOLD)
    labels = np.repeat(np.arange(10, dtype=np.int32), 10)
    expected = draw_images(to_uint8(np.asarray(gan.sample(state, key, 100, labels))))
    with Image.open(run.final_path) as picture:
        # Programs compiled apart may round apart.
        assert np.abs(np.asarray(picture, int) - np.asarray(expected, int)).max() <= 1
    other = draw_images(to_uint8(np.asarray(gan.sample(state, key, 100, labels[::-1]))))
    assert np.abs(np.asarray(other, int) - np.asarray(expected, int)).max() > 1


def test_labels_to_ask_are_as_frequent_as_in_training(run):
    from gan_jax.data import load as load_data

    dataset = load_data("digits")
    assert dataset.train.labels is not None  # type: ignore
    asked = labels_to_ask(dataset, 5_000)
    assert asked is not None and asked.shape == (5_000,)
    shares = np.bincount(dataset.train.labels, minlength=10) / len(dataset.train.labels)  # type: ignore
    assert np.abs(np.bincount(asked, minlength=10) / 5_000 - shares).sum() / 2 < 0.03


def test_sampling_without_labels_draws_them(run):
    assert sample_run(run.path, 5).shape == (5, 28, 28, 1)
