"""`gan-jax evaluate` from files to a verdict: planted samples of data that is learned fast."""

import io
import json

import numpy as np
import pytest
from conftest import quiet, said, striped_images
from rich.console import Console

from gan_jax.cli import main
from gan_jax.data import load
from gan_jax.errors import InputError
from gan_jax.evaluate import Report, evaluate, show
from gan_jax.evaluation.distances import frechet_distance
from gan_jax.evaluation.verdict import SAMPLE_VERDICTS


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """A folder with the data, and samples of every quality."""
    folder = tmp_path_factory.mktemp("stripes")
    train, test, fresh = (striped_images(n, seed) for seed, n in enumerate((1_500, 500, 500)))
    np.savez(
        folder / "data.npz",
        images=train[0],
        labels=train[1],
        test_images=test[0],
        test_labels=test[1],
    )
    noise, many = np.random.default_rng(9), striped_images(1_500, 4)
    samples = {
        "fresh": fresh,
        "shuffled": (fresh[0], noise.permutation(fresh[1])),
        "sorted": tuple(array[np.argsort(many[1], kind="stable")] for array in many),
        "partly": (fresh[0], np.where(np.arange(500) < 300, -1, fresh[1])),
        "unasked": (fresh[0], np.full(500, -1)),
        "other": (fresh[0], fresh[1] + 1),
        "copies": (train[0][:500], None),
        "one_class": (striped_images(1_000, 5)[0][striped_images(1_000, 5)[1] == 0], None),
        "few": (np.tile(fresh[0][:5], (100, 1, 1, 1)), None),
        "constant": (np.tile(fresh[0].mean(0).astype(np.uint8), (500, 1, 1, 1)), None),
        "noise": (noise.integers(0, 256, fresh[0].shape, dtype=np.uint8), None),
    }
    for name, (images, labels) in samples.items():
        extra = {} if labels is None else {"labels": labels}
        np.savez(folder / f"{name}.npz", images=images, **extra)
    return folder


def judged(stripes, name, console=None, **options):
    return evaluate(
        samples=stripes / f"{name}.npz",
        against=str(stripes / "data.npz"),
        console=console or quiet(),
        **options,
    )


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("fresh", "healthy"),
        ("copies", "memorising"),
        ("one_class", "collapsed"),
        ("few", "collapsed"),
        ("constant", "underfitting"),
        ("noise", "underfitting"),
    ],
)
def test_planted_samples(stripes, name, word):
    report = judged(stripes, name)
    assert report.verdict == word, (report.metrics, report.anchors)
    assert float(report.features.split()[-1].rstrip("%")) > 95  # the classifier's test accuracy
    if name == "constant":
        assert report.metrics["spread"] == 0.0
    if name == "one_class":
        assert report.metrics["missing_classes"] == [1]


def test_a_file_sorted_by_class_is_judged_as_a_whole(stripes):
    console = quiet()
    report = judged(stripes, "sorted", console)  # of more than there are test rows
    assert report.verdict == "healthy" and report.metrics["label_consistency"] > 0.98
    assert "500 of 1,500 samples" in said(console)


def test_anchors_are_in_order_and_kept(stripes):
    report = judged(stripes, "fresh")
    frechet = {name: found["frechet_distance"] for name, found in report.anchors.items()}
    assert 0.1 < frechet["real"] / frechet["floor"] < 2.0  # of rows the classifier knows
    assert report.anchors["real"]["coverage"] == pytest.approx(
        report.anchors["floor"]["coverage"], abs=0.05
    )
    for spoilt in ("class_dropped", "blurred", "noisy"):
        assert frechet[spoilt] > 2 * frechet["train"]
    fresh = report.metrics["frechet_distance"]
    assert 0.5 < fresh / frechet["train"] < 2.0  # both are real rows
    assert fresh < 2 * frechet["floor"] < frechet["class_dropped"]
    assert report.anchors["train"]["authenticity"] == 0.0
    assert abs(report.metrics["copying"] - report.anchors["real"]["copying"]) < 3
    assert abs(report.metrics["authenticity"] - report.anchors["real"]["authenticity"]) < 0.1
    assert report.anchors["class_dropped"]["missing_classes"] == [1]
    assert report.metrics["coverage"] == pytest.approx(
        report.anchors["floor"]["coverage"], abs=0.05
    )
    again = judged(stripes, "fresh")
    assert again._replace(seconds=0) == report._replace(seconds=0)


def test_labels_asked_for(stripes):
    assert judged(stripes, "fresh").metrics["label_consistency"] > 0.98
    assert abs(judged(stripes, "shuffled").metrics["label_consistency"] - 0.5) < 0.1
    assert judged(stripes, "noise").metrics["label_consistency"] is None
    console = quiet()
    assert judged(stripes, "partly", console).metrics["label_consistency"] > 0.98
    assert "300 of 500 samples have no label" in said(console)
    assert judged(stripes, "unasked").metrics["label_consistency"] is None
    with pytest.raises(InputError, match=r"other.npz: label 2 is no class of .*; 0 to 1 are"):
        judged(stripes, "other")


def test_what_takes_long_is_measured_when_all_is_asked_for(stripes):
    long = {"two_sample_accuracy", "different_bins", "classification_accuracy"}
    assert not long & judged(stripes, "fresh").metrics.keys()
    report = judged(stripes, "fresh", full=True)  # few as the test rows are
    assert report.metrics["classification_accuracy"] > 0.95
    assert report.anchors["train"]["classification_accuracy"] > 0.95
    assert report.anchors["blurred"]["classification_accuracy"] is None  # nothing was asked of it
    assert (
        report.metrics["two_sample_accuracy"] < 0.6 < report.anchors["noisy"]["two_sample_accuracy"]
    )
    assert (
        report.metrics["different_bins"] < 0.02 < report.anchors["class_dropped"]["different_bins"]
    )
    floor = report.anchors["floor"]
    for name in ("two_sample_accuracy", "different_bins"):
        assert report.metrics[name] == pytest.approx(floor[name], abs=0.1)
    assert judged(stripes, "unasked", full=True).metrics["classification_accuracy"] is None
    assert judged(stripes, "shuffled", full=True).metrics["classification_accuracy"] < 0.9
    assert not long & judged(stripes, "fresh").anchors["train"].keys()  # kept apart


def test_json_on_standard_output(stripes, capsys):
    data = str(stripes / "data.npz")
    assert (
        main(["evaluate", "--samples", str(stripes / "fresh.npz"), "--against", data, "--json"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] in SAMPLE_VERDICTS and found["samples"] == 500
    assert {"reasons", "advice", "metrics", "anchors", "seconds", "features"} <= found.keys()
    measured = set(found["metrics"])
    assert list(found["anchors"]) == [
        *("floor", "real", "train", "class_dropped", "blurred", "noisy")
    ]
    for name in found["anchors"]:
        assert set(found["anchors"][name]) == measured
    assert {
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "classifier_score",
        "class_total_variation",
        "label_consistency",
    } <= measured


def test_points_from_the_truth_are_healthy(tmp_path):
    data = load("grid")
    drawn = data.test.samples
    assert len(drawn) >= 4_000
    # The test rows come first in the order of judging; fresh ones are drawn here.
    centers = data.train.centers  # pyright: ignore
    draw = np.random.default_rng(0)
    modes = draw.integers(0, len(centers), 2_000)
    rows = centers[modes] + draw.normal(0, data.train.std, (2_000, 2))  # pyright: ignore
    for name, kept, word in (
        ("all", modes >= 0, "healthy"),
        ("some", modes > 2, "collapsed"),
    ):
        path = tmp_path / f"{name}.npz"
        np.savez(path, samples=np.float32(rows[kept]))
        report = evaluate(samples=path, against="grid", console=quiet())
        assert report.verdict == word, report
    assert report.metrics["missing_classes"] == [0, 1, 2]


def test_an_array_without_a_name(stripes):
    images = np.load(stripes / "fresh.npz")["images"]
    np.savez(stripes / "nameless.npz", images)
    named, nameless = judged(stripes, "fresh"), judged(stripes, "nameless")
    assert nameless.metrics["frechet_distance"] == named.metrics["frechet_distance"]


OTHERS_WRITE = {
    "floats from 0 to 1": (lambda images: images / 255.0, "spanning 0 to 1"),
    "floats from -1 to 1": (lambda images: np.float32(images / 127.5 - 1.0), "spanning -1 to 1"),
    "floats from 0 to 255": (lambda images: np.float16(images), "spanning 0 to 255"),
    "integers": (lambda images: images.astype(np.int64), "spanning 0 to 255"),
    "channels first": (lambda images: np.moveaxis(images, -1, 1), ""),
    "no channels": (lambda images: images[..., 0], ""),
    "flat": (lambda images: images.reshape(len(images), -1) / 255.0, "spanning 0 to 1"),
}


@pytest.mark.parametrize("name", OTHERS_WRITE)
def test_what_other_programs_write(stripes, tmp_path, name):
    """Whatever the layout and range, the very same images are judged."""
    change, note = OTHERS_WRITE[name]
    known = np.load(stripes / "fresh.npz")
    np.savez(tmp_path / "theirs.npz", change(known["images"]), known["labels"])
    data, console = str(stripes / "data.npz"), quiet()
    theirs = evaluate(samples=tmp_path / "theirs.npz", against=data, console=console)
    assert theirs.metrics == judged(stripes, "fresh").metrics
    assert note in said(console)


def test_what_overshoots_is_clipped_and_what_is_else_is_named(stripes, tmp_path):
    images = np.load(stripes / "fresh.npz")["images"]
    stretched = 1.1 * (images / 127.5 - 1.0)
    np.savez(tmp_path / "a.npz", images=stretched, latents=np.zeros(3))
    expected = np.clip(np.rint((stretched + 1.0) * 127.5), 0, 255).astype(np.uint8)
    np.savez(tmp_path / "b.npz", images=expected)
    console, data = quiet(), str(stripes / "data.npz")
    found = [
        evaluate(samples=tmp_path / f"{name}.npz", against=data, console=console).metrics
        for name in "ab"
    ]
    assert found[0] == found[1]
    assert "not looked at: latents" in said(console)


def test_features_of_ones_own(stripes):
    """The figures are those of these features, for samples and anchors alike."""

    def means(rows):
        return rows.reshape(len(rows), 4, -1).mean(2)

    report = judged(stripes, "fresh", features=means)
    real, fake = (np.load(stripes / name) for name in ("data.npz", "fresh.npz"))
    expected = frechet_distance(means(real["test_images"]), means(fake["images"]))
    assert report.metrics["frechet_distance"] == pytest.approx(expected)
    assert report.features == "given" and report.verdict in SAMPLE_VERDICTS
    plain = judged(stripes, "fresh")  # nothing of these was kept for others
    assert plain.anchors["train"]["frechet_distance"] != pytest.approx(
        report.anchors["train"]["frechet_distance"], rel=0.1
    )
    assert plain.metrics["class_shares"] == report.metrics["class_shares"]


def test_shrunken_modes_are_named(tmp_path):
    data = load("grid").train
    draw = np.random.default_rng(0)
    modes = draw.integers(0, 25, 2_000)
    for scale, told in ((1.0, False), (0.5, True)):
        rows = data.centers[modes] + draw.normal(0, scale * data.std, (2_000, 2))  # pyright: ignore
        np.savez(tmp_path / "rows.npz", samples=np.float32(rows))
        report = evaluate(samples=tmp_path / "rows.npz", against="grid", console=quiet())
        assert report.metrics["over_concentrated"] is told
        assert ("modes have shrunk" in report.reasons[-1]) is told
        assert 0 < report.metrics["exact_wasserstein"] < 1.5


def test_where_nobody_watches_a_line_says_what_takes_long(stripes):
    console = quiet()
    judged(stripes, "fresh", console)
    assert "measuring 500 samples ..." in said(console)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((200, 9, 9), np.uint8)}, r"uint8 of shape \(9, 9\); those of .*8"),
        ({"samples": np.zeros((200, 2), np.float32)}, r"float32 of shape \(2,\); those of "),
        ({"images": np.zeros((50, 8, 8), np.uint8)}, "50 are too few; at least 100"),
        ({"pictures": np.zeros((200, 8, 8), np.uint8)}, "the arrays in it are pictures; one of"),
        ({"images": np.full((200, 8, 8), np.nan)}, "holds a number that is not finite"),
        ({"images": np.linspace(-5, 1, 200 * 64).reshape(200, 64)}, "-5 to 1 found; images span"),
        ({"images": np.full((200, 8, 8), 300)}, "300 to 300 found; images span"),
        ({"images": np.zeros((200, 8, 8), bool)}, "dtype is bool"),
        ({"images": np.zeros((0, 8, 8), np.uint8)}, "it holds no samples"),
        ({"images": np.zeros((200, 8, 8)), "labels": np.zeros(9, int)}, "one for each of 200"),
    ],
)
def test_unusable_samples(stripes, tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=message):
        evaluate(samples=tmp_path / "bad.npz", against=str(stripes / "data.npz"), console=quiet())


def test_points_of_another_width_are_refused_first(tmp_path):
    np.savez(tmp_path / "bad.npz", samples=np.zeros((200, 3), np.float32))
    with pytest.raises(InputError, match="bad.npz: samples have 3 features; those of ring have 2"):
        evaluate(samples=tmp_path / "bad.npz", against="ring", console=quiet())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a run's folder, or --samples"),
        (["--samples", "x.npz"], "give a run's folder, or --samples"),
        (["--samples", "x.npz", "--against", "nowhere"], "x.npz: cannot be read"),  # it comes first
        (["nowhere"], "nowhere: holds no run"),
        (["--samples", "x.png", "--against", "ring"], "x.png: cannot be read as an .npz (File is"),
    ],
)
def test_mistakes_in_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.png").write_bytes(b"no archive")
    assert main(["evaluate", *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed


def test_names_are_no_markup():
    console = quiet()
    show(Report("healthy", ("a",), "b", {}, {}, 0, "of /data/[/old]/[red]x", 0.0), console)
    assert "/data/[/old]/[red]x" in said(console)


def test_every_figure_can_be_read_at_any_width(stripes):
    report = judged(stripes, "fresh")
    wide, narrow = (Console(file=io.StringIO(), width=width) for width in (200, 50))
    for console in (wide, narrow):
        show(report, console)
    table = said(narrow).partition("features:")[0]
    assert max(map(len, table.splitlines())) <= 50 and "…" not in table
    assert table.count("precision") > 1  # in further tables, below
    assert set(said(wide).partition("features:")[0].split()) == set(table.split())
    assert "frechet distance ↓ " in table and "precision ↑ " in table and "copying " in table
