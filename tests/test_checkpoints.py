"""Checkpoints: the same bits come back, damage is noticed, another network is refused."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_same_bits, random_batch, tiny_config, tiny_gan

from gan_jax import checkpoints as checkpoints_module
from gan_jax.checkpoints import Checkpoints
from gan_jax.config import GeneratorConfig, OptimizerConfig
from gan_jax.errors import InputError
from gan_jax.loops import advance
from gan_jax.types import Batch

FACTS = {"data": "abc", "nested": {"n": 3}}


@pytest.fixture(scope="module")
def gan():
    return tiny_gan()


@pytest.fixture(scope="module")
def state(gan):
    return jax.jit(gan.train_step)(gan.init(jax.random.key(7)), random_batch(0))[0]


@pytest.fixture
def template(gan):
    return jax.eval_shape(gan.init, jax.random.key(0))


def at_step(state, step):
    return dataclasses.replace(state, step=jnp.asarray(step, jnp.int32))


def test_the_same_bits_come_back(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(state, FACTS)
    found, facts, notes = store.restore(template)
    assert_same_bits(found, state)
    assert (facts, notes) == (FACTS, [])


def test_odd_values_come_back_too(tmp_path, state, template):
    odd = jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45], jnp.float32)
    average = jax.tree.map(lambda leaf: jnp.resize(odd, leaf.shape), state.average)
    state = dataclasses.replace(state, average=average)
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(state, {})
    assert_same_bits(store.restore(template)[0], state)


def test_newest_three_are_kept(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    for step in (1, 2, 9, 10, 100):
        store.save(at_step(state, step), {})
    assert store.steps() == [9, 10, 100]
    assert store.restore(template)[0].step == 100


def test_leftovers_of_killed_saves_are_cleared(tmp_path, state):
    store = Checkpoints(tmp_path / "checkpoints")
    leftover = store.folder / "5.orbax-checkpoint-tmp-1"
    leftover.mkdir(parents=True)
    assert store.steps() == []
    store.save(state, {})
    assert not leftover.exists()


def files_of(store, step):
    return sorted(p for p in (store.folder / str(step)).rglob("*") if p.is_file())


def test_no_flipped_bit_gives_wrong_numbers(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(at_step(state, 1), FACTS)
    store.save(at_step(state, 2), FACTS)
    pristine = tmp_path / "pristine"
    shutil.copytree(store.folder, pristine)
    random = np.random.default_rng(0)
    noticed = 0
    for path, size in [(p, p.stat().st_size) for p in files_of(store, 2)]:
        for _ in range(3 if size else 0):
            shutil.rmtree(store.folder)
            shutil.copytree(pristine, store.folder)
            data = bytearray(path.read_bytes())
            data[random.integers(size)] ^= 1 << int(random.integers(8))
            path.write_bytes(data)
            found, _, notes = store.restore(template)
            # Either harmless, or noticed and answered with the checkpoint before.
            assert_same_bits(found, at_step(state, 1 if notes else 2))
            noticed += bool(notes)
            if notes:
                assert "checkpoints/2: damaged (" in notes[0]
                assert store.steps() == [1, 2]  # looked at, and left alone
    assert noticed >= 3


def test_a_description_that_is_not_what_was_saved(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(state, {"data": "these"})
    (meta_path,) = (store.folder / "1" / "meta").glob("metadata")
    meta_path.write_text(meta_path.read_text().replace("these", "those"))
    with pytest.raises(InputError, match="its description is not what was saved"):
        store.restore(template)


def test_an_array_that_is_not_what_was_saved_is_named(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(state, {})
    (meta_path,) = (store.folder / "1" / "meta").glob("metadata")
    description = json.loads(json.loads(meta_path.read_text())["text"])
    description["leaves"][3]["sha256"] = "0" * 64
    text = json.dumps(description)
    digest = hashlib.sha256(text.encode()).hexdigest()
    meta_path.write_text(json.dumps({"text": text, "sha256": digest}))
    name = description["leaves"][3]["name"]
    with pytest.raises(InputError, match=f"{name} is not what was saved"):
        store.restore(template)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_files(tmp_path, state, template, share):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(at_step(state, 1), {})
    store.save(at_step(state, 2), {})
    largest = max(files_of(store, 2), key=lambda p: p.stat().st_size)
    with open(largest, "r+b") as file:
        file.truncate(int(share * largest.stat().st_size))
    found, _, notes = store.restore(template)
    assert len(notes) == 1
    assert_same_bits(found, at_step(state, 1))


def test_damaged_ones_are_moved_aside_on_request(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(at_step(state, 1), {})
    store.save(at_step(state, 2), {})
    shutil.rmtree(store.folder / "2" / "meta")
    found, _, _ = store.restore(template, move_aside=True)
    assert_same_bits(found, at_step(state, 1))
    assert store.steps() == [1] and (store.folder / "damaged-2").is_dir()
    store.save(at_step(state, 2), {})
    assert_same_bits(store.restore(template)[0], at_step(state, 2))


def test_trouble_of_the_system_is_not_damage(tmp_path, state, template, monkeypatch):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(at_step(state, 1), {})
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)  # as if it could not be imported
    with pytest.raises(ImportError):
        store.restore(template, move_aside=True)
    assert store.steps() == [1]


def test_all_damaged(tmp_path, state, template):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(at_step(state, 1), {})
    shutil.rmtree(store.folder / "1" / "state")
    with pytest.raises(InputError, match=r"checkpoints/1: damaged \(.*nothing to restore"):
        store.restore(template)


def spoil_arrays(folder):
    for path in (folder / "ocdbt.process_0" / "d").iterdir():
        content = bytearray(path.read_bytes())
        content[::97] = bytes(len(content[::97]))
        path.write_bytes(content)


def all_gone(folder):
    shutil.rmtree(folder / "d")
    (folder / "manifest.ocdbt").unlink()


@pytest.mark.parametrize(
    "damage",
    [lambda folder: shutil.rmtree(folder / "d"), all_gone, spoil_arrays],
    ids=["gone", "all gone", "spoilt"],
)
def test_damage_is_said_in_one_line(damage, tmp_path, capfd):
    """Not by a traceback of each array that was being read at the time."""
    wide = GeneratorConfig(latent_size=3, widths=(512, 512), last_activation="identity")
    state = tiny_gan(generator=wide).init(jax.random.key(0))  # small arrays lie in an index
    store = Checkpoints(tmp_path / "no address: #1 50%20 what?" / "checkpoints")
    store.save(state, {})
    assert_same_bits(store.restore(state)[0], state)
    damage(store.folder / "0" / "state")
    with pytest.raises(InputError, match=r"checkpoints/0: damaged \(.*nothing to restore"):
        store.restore(state)
    time.sleep(0.5)  # for whoever is still reading
    assert capfd.readouterr() == ("", "")


def test_nothing_there(tmp_path, template):
    with pytest.raises(InputError, match="no checkpoint found; nothing to restore"):
        Checkpoints(tmp_path / "none").restore(template)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generator": GeneratorConfig(latent_size=3, widths=(9,), last_activation="identity")},
            r"average\.body\.Dense_0\.bias is float32 \[8\]; .* asks for float32 \[9\]",
        ),
        ({"penalties": {"r1": 1.0}}, r"hyperparameters\.penalties\.r2 is float32 \[\]; .* absent"),
    ],
)
def test_another_network_is_refused_by_name(tmp_path, state, changes, message):
    store = Checkpoints(tmp_path / "checkpoints")
    store.save(state, {})
    other = jax.eval_shape(tiny_gan(**changes).init, jax.random.key(0))
    with pytest.raises(InputError, match=message):
        store.restore(other)
    assert store.steps() == [1]  # refused, not taken for damaged


def test_resume_after_every_step(tmp_path, gan):
    """Stopped after each step of a hundred, written, read and gone on with: the same bits."""
    steps = 100
    source = jax.random.normal(jax.random.key(3), (steps, 8, 2))
    program = jax.jit(advance(gan.train_step, lambda source, pick: Batch(source[pick])))
    picks = np.arange(steps)
    expected, _ = program(gan.init(jax.random.key(1)), source, picks, steps)
    template = jax.eval_shape(gan.init, jax.random.key(0))
    state = gan.init(jax.random.key(1))
    store = Checkpoints(tmp_path / "checkpoints")
    for step in range(1, steps):
        state, _ = program(state, source, picks[step - 1] + picks, 1)
        store.save(state, {})
        restored, _, _ = store.restore(template)
        resumed, _ = program(restored, source, np.roll(picks, -step), steps - step)
        assert_same_bits(resumed, expected)


def test_every_leaf_matters():
    """No leaf could be left out of a checkpoint: changing any of them changes what comes next."""
    # With b1 = 0, as in the default recipe, Adam's first moment is forgotten at once.
    adam = OptimizerConfig(b1=0.5)
    gan = tiny_gan(generator_optimizer=adam, discriminator_optimizer=adam)
    step = jax.jit(gan.train_step)
    state, _ = step(gan.init(jax.random.key(7)), random_batch(0))

    def outcome(state):
        after = state
        for seed in range(2):
            after, _ = step(after, random_batch(seed))
        return b"".join(
            np.asarray(jax.random.key_data(x) if x.dtype == state.key.dtype else x).tobytes()
            for x in jax.tree.leaves(after)
        )

    reference = outcome(state)
    leaves, structure = jax.tree.flatten(state)
    for index, leaf in enumerate(leaves):
        changed = jax.random.key(99) if leaf.dtype == state.key.dtype else leaf + 1
        others = [*leaves[:index], changed, *leaves[index + 1 :]]
        assert outcome(jax.tree.unflatten(structure, others)) != reference


def test_config_of_the_tests_has_all_parts():
    # The tests above speak for the default recipe only if theirs has a leaf of every kind.
    config = tiny_config()
    assert config.penalties and config.average_decay > 0 and config.decay.shape != "constant"


def test_too_little_room_is_seen_before_orbax_writes(tmp_path, monkeypatch):
    state = tiny_gan().init(jax.random.key(0))
    size = sum(leaf.nbytes for leaf in checkpoints_module._leaves(state).values())
    monkeypatch.setattr(checkpoints_module, "_checkpointer", None)  # it is not asked
    monkeypatch.setattr(
        checkpoints_module.shutil, "disk_usage", lambda path: SimpleNamespace(free=size - 1)
    )
    with pytest.raises(OSError, match="No space left"):
        Checkpoints(tmp_path / "checkpoints").save(state, {})


def test_a_path_through_a_parent(tmp_path, monkeypatch, state, template):
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    Checkpoints(Path("../checkpoints")).save(state, {})
    found, _, notes = Checkpoints(Path("../checkpoints")).restore(template)
    assert_same_bits(found, state)
    assert not notes


def test_odd_places(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    assert Checkpoints(tmp_path / "loop" / "checkpoints").steps() == []
    with pytest.raises(InputError, match="no text in UTF-8; rename that"):
        Checkpoints(tmp_path / "\udcff" / "checkpoints").refuse_place()


def test_a_full_disk_is_said_and_costs_no_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    state = tiny_gan().init(jax.random.key(0))
    checkpoints.save(state, {})

    @contextlib.contextmanager
    def full():
        with real() as (args, checkpointer):

            def save(*_, **__):
                raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device")

            monkeypatch.setattr(checkpointer, "save", save)
            yield args, checkpointer

    real = checkpoints_module._checkpointer
    monkeypatch.setattr(checkpoints_module, "_checkpointer", full)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoints.save(dataclasses.replace(state, step=state.step + 1), {})
    assert caught.value.filename == str(tmp_path / "checkpoints" / "1")
    assert checkpoints.steps() == [0]
