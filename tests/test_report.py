"""Pictures and curves, looked at pixel by pixel where that is possible."""

import math

import numpy as np
import pytest
from PIL import Image

from gan_jax.report import animate, draw_curves, draw_images, draw_points, draw_samples, to_uint8


@pytest.mark.filterwarnings("error")
def test_what_is_no_number_is_black():
    assert to_uint8(np.array([np.nan, -np.inf, np.inf])).tolist() == [0, 0, 255]


def test_to_uint8_clips_and_rounds():
    values = np.array([-3.0, -1.0, -1.0 + 0.6 / 127.5, 0.0, 1.0, 2.0])
    assert to_uint8(values).tolist() == [0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_lie_row_by_row(channels):
    images = np.zeros((5, 2, 2, channels), np.uint8)
    for index in range(5):
        images[index] = 40 * (index + 1)
    picture = np.asarray(draw_images(images))
    assert picture.ndim == (2 if channels == 1 else 3)
    # Five images: three columns, two rows, each cell 2 pixels and a gap of 1, enlarged.
    scale = picture.shape[1] // (3 * 3 + 1)
    small = picture[scale // 2 :: scale, scale // 2 :: scale]
    small = small if channels == 1 else small[..., 0]
    assert small.shape == (7, 10)
    assert small[[1, 1, 1, 4, 4], [1, 4, 7, 1, 4]].tolist() == [40, 80, 120, 160, 200]
    assert small[4, 7] == small[0, 0] == 32  # the empty cell and the gap


def test_points_are_where_they_should_be():
    reference = np.array([[-1.0, -1.0], [1.0, 1.0]])
    picture = np.asarray(draw_points(np.array([[0.5, -0.5], [50.0, 0.0]]), reference))
    side = picture.shape[0]
    # The frame reaches 1.25 times as far as the reference.
    column, row = (round((v / 1.25 + 1) / 2 * side) for v in (0.5, 0.5))
    assert picture[row, column].tolist() == [225, 90, 0]
    grey = (picture == 190).all(axis=2).sum()
    orange = (picture == [225, 90, 0]).all(axis=2).sum()
    assert (grey, orange) == (18, 9)  # two grey dots of nine pixels; one orange, one out of sight


def test_points_that_are_not_numbers_are_left_out():
    picture = np.asarray(draw_points(np.array([[np.nan, 0.0], [np.inf, 1.0]])))
    assert (picture == 255).all()


def test_samples_of_either_kind():
    assert draw_samples(np.zeros((1, 4, 4, 1), np.uint8)).mode == "L"
    assert draw_samples(np.zeros((1, 2), np.float32)).mode == "RGB"


def test_animation_has_every_frame(tmp_path):
    paths = []
    for index, value in enumerate((0, 100, 250)):
        paths.append(tmp_path / f"{index}.png")
        Image.new("L", (8, 8), value).save(paths[-1])
    animate(paths, tmp_path / "all.webp")
    with Image.open(tmp_path / "all.webp") as picture:
        assert picture.n_frames == 3  # type: ignore
        picture.seek(2)
        assert picture.convert("L").getpixel((4, 4)) == pytest.approx(250, abs=4)
        assert picture.info["timestamp"] == 2000  # milliseconds: few frames are not over at once


def test_a_long_animation_is_thinned_from_first_to_last(tmp_path):
    paths = [tmp_path / f"{index:03}.png" for index in range(100)]
    for index, path in enumerate(paths):  # a bar that goes from left to right
        columns = np.zeros((60, 100, 15), np.uint8)
        columns[:, index] = 255
        Image.fromarray(columns.reshape(60, 1500)).save(path)
    animate(paths, tmp_path / "all.webp")
    found = []
    with Image.open(tmp_path / "all.webp") as picture:
        assert picture.width == 500
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(np.asarray(picture.convert("L")).sum(axis=0).argmax() // 5)
    assert found == [round(place) for place in np.linspace(0, 99, 40)]


def test_a_picture_that_is_none_is_left_out_of_the_animation(tmp_path):
    good, half = tmp_path / "0.png", tmp_path / "1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(good)
    half.write_bytes(good.read_bytes()[:2_000])
    animate([half], tmp_path / "none.webp")
    assert not (tmp_path / "none.webp").exists()
    animate([good, half, good], tmp_path / "all.webp")
    with Image.open(tmp_path / "all.webp") as picture:
        assert getattr(picture, "n_frames", 1) == 1  # the second is the first once more


def records(**values):
    return [{"step": step, **values} for step in (1, 2, 3)]


@pytest.mark.parametrize(
    "values",
    [
        {"discriminator_loss": 1.0, "generator_loss": 2.0, "real_probability": 0.5},
        {"discriminator_loss": None, "generator_loss": math.nan},
        {"discriminator_gradient_norm": 0.0, "generator_gradient_norm": math.nan},
        {},
    ],
    ids=["numbers", "nothing finite", "no slopes", "nothing"],
)
@pytest.mark.filterwarnings("error")
def test_curves_are_drawn(tmp_path, values):
    draw_curves(records(**values), tmp_path / "c.png", title="a on b", equilibrium=(1.4, 0.7))
    with Image.open(tmp_path / "c.png") as picture:
        assert picture.size[0] > 800 and len(np.unique(np.asarray(picture))) > 10


def test_curves_show_the_values(tmp_path):
    low, high = tmp_path / "low.png", tmp_path / "high.png"
    for path, value in ((low, 0.1), (high, 0.9)):
        draw_curves(records(real_above_fake=value), path, title="t", equilibrium=(1.4, 0.7))
    with Image.open(low) as a, Image.open(high) as b:
        purple = [
            np.argwhere(
                np.abs(np.asarray(p.convert("RGB")).astype(int) - (148, 103, 189)).sum(2) < 60
            )
            for p in (a, b)
        ]
    assert purple[0][:, 0].mean() > purple[1][:, 0].mean() + 100


def test_pictures_of_another_size_are_left_out_of_the_animation(tmp_path):
    """As those of a run that an earlier version began."""
    paths = [tmp_path / f"{side}-{n}.png" for side in (10, 12) for n in range(2)]
    for index, path in enumerate(paths):
        side = int(path.name.partition("-")[0])
        Image.new("L", (side, side), 60 * index).save(path)
    animate(paths, tmp_path / "all.webp")
    with Image.open(tmp_path / "all.webp") as animation:
        assert animation.size == (12, 12) and animation.n_frames == 2  # type: ignore
