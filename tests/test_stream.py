"""The order of rows: a pure function of (data seed, step), and no row is lost."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.data import Mixture, Part
from gan_jax.data import stream as stream_module
from gan_jax.data.stream import epoch_order, make_stream, to_float
from gan_jax.errors import InputError


def part(rows, labels=True):
    samples = np.arange(rows, dtype=np.float32)[:, None]
    return Part(samples, np.arange(rows, dtype=np.int32) % 3 if labels else None)


def positions(stream, steps, length):
    """Row numbers in the order in which they come, from plans of `length` steps."""
    rows = []
    for step in range(0, steps, length):
        rows.extend(np.asarray(stream.picks(step)).ravel())
    return np.array(rows)


@pytest.mark.parametrize(("rows", "batch"), [(20, 4), (10, 3), (7, 7), (5, 4), (64, 1)])
def test_every_epoch_is_a_permutation(rows, batch):
    stream = make_stream(part(rows), batch, 0, 2)
    found = positions(stream, 4 * rows, 2)
    epochs = found[: len(found) // rows * rows].reshape(-1, rows)
    assert len(epochs) >= 4
    assert (np.sort(epochs, axis=1) == np.arange(rows)).all()
    if rows >= 10:
        assert (epochs[0] != epochs[1]).any()


def test_plan_length_changes_nothing():
    reference = positions(make_stream(part(11), 4, 0, 1), 60, 1)
    for length in (2, 3, 5, 12):
        assert (positions(make_stream(part(11), 4, 0, length), 60, length) == reference).all()


def test_starting_anywhere_changes_nothing():
    reference = np.asarray(make_stream(part(11), 4, 0, 30).picks(0))
    for step in (1, 2, 3, 7, 20):
        found = make_stream(part(11), 4, 0, 5).picks(step)
        assert (found == reference[step : step + 5]).all()


def test_permutation_is_the_documented_one():
    found = positions(make_stream(part(12), 4, 9, 3), 6, 3)
    for epoch in range(2):
        expected = np.random.RandomState([9, epoch]).permutation(12)
        assert (found[12 * epoch : 12 * epoch + 12] == expected).all()


def test_orders_stay_those_of_runs_before():
    """A run that is resumed under another NumPy goes on through the same rows."""
    assert epoch_order(2**32 - 1, 3, 10).tolist() == [5, 9, 6, 2, 4, 1, 7, 8, 0, 3]


def test_data_seed_changes_the_order():
    a, b = (positions(make_stream(part(50), 10, seed, 5), 5, 5) for seed in (0, 1))
    assert (a != b).any()


def test_far_steps_do_not_overflow():
    stream = make_stream(part(10), 3, 0, 2)
    picks = stream.picks(10**9)
    assert picks.shape == (2, 3) and 0 <= picks.min() and picks.max() < 10


def test_each_permutation_is_computed_once(monkeypatch):
    computed = []

    def counted(seed, epoch, rows):
        computed.append(epoch)
        return epoch_order(seed, epoch, rows)

    monkeypatch.setattr(stream_module, "epoch_order", counted)
    stream = make_stream(part(10), 2, 0, 7)
    for step in range(0, 70, 7):
        stream.picks(step)
    assert computed == sorted(set(computed)) and 14 <= len(computed) <= 18


def test_batches_hold_the_picked_rows():
    stream = make_stream(part(10), 4, 0, 1)
    pick = stream.picks(3)[0]
    batch = stream.take(stream.source, pick)
    assert (batch.samples[:, 0] == pick).all()
    assert batch.labels is not None and (batch.labels == pick % 3).all()
    unlabelled = make_stream(part(10, labels=False), 4, 0, 1)
    assert unlabelled.take(unlabelled.source, pick).labels is None


def test_images_stay_uint8_until_the_step():
    images = np.zeros((6, 2, 2, 1), np.uint8)
    images[:, 0, 0] = 255
    stream = make_stream(Part(images), 2, 0, 1)
    assert stream.source.samples.dtype == jnp.uint8
    batch = stream.take(stream.source, stream.picks(0)[0])
    assert batch.samples.dtype == jnp.float32
    assert np.unique(batch.samples).tolist() == [-1.0, 1.0]


def test_scaling_covers_the_range_evenly():
    found = np.asarray(to_float(jnp.arange(256, dtype=jnp.uint8)))
    np.testing.assert_allclose(found, np.linspace(-1, 1, 256), atol=1e-6)


def test_fewer_rows_than_a_batch():
    with pytest.raises(InputError, match="batch_size: a step takes 8 rows; the data has 7"):
        make_stream(part(7), 8, 0, 1)


def test_mixture_draws_by_step():
    mixture = Mixture(np.array([[0.0, 0.0], [5.0, 5.0]], np.float32), 0.1)
    stream = make_stream(mixture, 16, 3, 4)
    first, later = stream.picks(0), stream.picks(2)
    at_two = [stream.take(stream.source, pick) for pick in (first[2], later[0])]
    assert (at_two[0].samples == at_two[1].samples).all()
    assert (at_two[0].samples != stream.take(stream.source, first[0]).samples).any()
    assert at_two[0].samples.shape == (16, 2)
    # Whose key is its own: the GAN's are made of the very same seed.
    assert (jax.random.key_data(stream.source) != jax.random.key_data(jax.random.key(3))).any()
