"""Recipes, penalties, dynamics and what else changes a step with each other, at tiny sizes.

Every pair of them, but for recipes by what else changes a step (and, but at length, pairs of
consensus and of unrolled discriminators, which take long to trace): the state keeps its type,
samples have their shape. Of some, in which every recipe, penalty and dynamics occurs, figures are
finite; of each dynamics a scan of steps is also a loop of them, and a member of a population that
GAN alone. At length all of this is found of all of them, and of every recipe with every penalty
and dynamics.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_close

from gan_jax.assembly import from_config
from gan_jax.config import Config
from gan_jax.gan import GAN
from gan_jax.loops import population
from gan_jax.losses import LOSSES
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.penalties import PENALTIES
from gan_jax.recipes import RECIPES, recipe
from gan_jax.types import Batch

STEPS, ROWS = 3, 4
BETAS = ("b1", "b2")
ONE_TO_ONE = {"discriminator_steps": 1, "generator_steps": 1}
DYNAMICS = {
    "its_own": {},
    "two_to_one": {"discriminator_steps": 2, "dynamics": {"name": "alternating"}},
    **{
        name: {**ONE_TO_ONE, "dynamics": {"name": name, "unroll": 1}}
        for name in ("simultaneous", "extragradient", "consensus", "unrolled")
    },
}


def both(**changes: Any) -> dict[str, Any]:
    return {"generator": changes, "discriminator": changes}


def optimizers(**changes: Any) -> dict[str, Any]:
    return {"generator_optimizer": changes, "discriminator_optimizer": changes}


# Each of these is another here, but for what pairs have anyway and what changes no part of a step
# (a test says what): not in the pairs, but at length.
ALIKE = {
    "concept",
    "lsgan",
    "wgan-gp",
    "dragan",
    "rgan",
    "r3gan",
    "unrolled",
    "gan-large",
}
KINDS = [name for name in RECIPES if name not in ALIKE]
# Every loss, and beside each something that they do not have.
FURTHER = [
    {"noise": {"deviation": 0.3}},
    both(name="residual_mlp"),
    {"generator": {"normalization": "spectral"}},
    optimizers(name="optimistic_adam"),
    optimizers(name="sgd"),
    {
        **optimizers(name="optimistic_sgd"),
        "generator": {"normalization": "layer"},
        "discriminator": {"normalization": "layer", "minibatch_deviation": True},
    },
]
CHANGES = {"as_it_is": {}} | {
    loss: {"loss": loss, **further}
    for loss, further in zip(LOSSES, itertools.cycle(FURTHER), strict=False)
}
AXES = {
    "recipe": KINDS,
    "penalty": ["none", *PENALTIES],
    "dynamics": list(DYNAMICS),
    "change": list(CHANGES),
    "precision": ["float32", "bfloat16"],
}


ALL = list(itertools.product(*AXES.values()))
# But for recipes by changes, of which each has its penalties and dynamics here.
PLACES = [place for place in itertools.combinations(range(len(AXES)), 2) if place != (0, 3)]


def pairs_of(case: tuple[str, ...]) -> set[tuple]:
    return {(i, j, case[i], case[j]) for i, j in PLACES}


def covering_pairs() -> list[tuple[str, ...]]:
    """Few combinations among which every pair of two axes' values occurs; greedy."""
    left = set().union(*map(pairs_of, ALL))
    order = np.random.default_rng(0)
    chosen = []
    while left:
        some = [ALL[index] for index in order.integers(len(ALL), size=200)]
        i, j, one, other = min(left)
        some += [case for case in ALL if (case[i], case[j]) == (one, other)][:200]
        best = max(some, key=lambda case: len(pairs_of(case) & left))
        if pairs_of(best) & left:
            chosen.append(best)
            left -= pairs_of(best)
    # Whatever need not be in bfloat16 takes half the time to compile in float32.
    for index, case in enumerate(chosen):
        others = set().union(*map(pairs_of, chosen[:index] + chosen[index + 1 :]))
        if pairs_of(case) <= others | pairs_of(plain := (*case[:-1], "float32")):
            chosen[index] = plain
    return chosen


def config_of(case: tuple[str, ...]) -> Config:
    name, penalty, dynamics, change, precision = case
    base = recipe(name)
    convolutions = base.generator.name == "dcgan"
    small = {
        "dataset": "ring",
        "sample_shape": [8, 8, 1] if convolutions else [2],
        "classes": 3,
        "batch_size": ROWS,
        "precision": precision,
        "generator": {"latent_size": 3, "widths": [4], "last_activation": "identity"},
        "discriminator": {"widths": [4], "codes": 1},
        # A small epsilon makes much of rounding where a gradient is nearly 0.
        **optimizers(learning_rate=1e-2, epsilon=1e-2),
    }
    config = base
    for values in (small, DYNAMICS[dynamics], CHANGES[change]):
        config = Config.from_dict(values, config)
    weights = {} if penalty == "none" else {penalty: 0.3}
    return Config.from_dict(config.to_dict() | {"penalties": weights})


def start(case: tuple[str, ...]) -> tuple[GAN, jax.Array, Batch]:
    config = config_of(case)
    keys = jax.random.split(jax.random.key(0), 2)
    rows = ROWS * config.discriminator_steps
    samples = jax.random.normal(jax.random.key(1), (STEPS, rows, *config.sample_shape))
    labels = jnp.arange(STEPS * rows).reshape(STEPS, rows) % 3
    return from_config(config), keys, Batch(samples, labels)


def check_types(case: tuple[str, ...]) -> None:
    gan, keys, batches = start(case)
    first = jax.eval_shape(gan.init, keys[1])
    after, metrics = jax.eval_shape(gan.train_step, first, jax.tree.map(lambda x: x[0], batches))
    assert jax.tree.structure(after) == jax.tree.structure(first)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(first), strict=True):
        assert (a.dtype, a.shape, a.weak_type) == (b.dtype, b.shape, b.weak_type)
    assert all(x.shape == () for x in jax.tree.leaves(metrics))
    drawn = jax.eval_shape(lambda state: gan.sample(state, keys[0], 5), after)
    assert drawn.shape == (5, *batches.samples.shape[2:])


def check(case: tuple[str, ...], *, whole: bool = True) -> None:
    gan, keys, batches = start(case)
    scan = jax.jit(lambda state: jax.lax.scan(gan.train_step, state, batches))
    scanned, metrics = scan(gan.init(keys[1]))
    assert metrics.finite.all()
    assert np.isfinite(gan.sample(scanned, keys[0], 5)).all()
    if not whole:
        return
    # Products in bfloat16 round to 8 bits what programs compiled apart have to 24 bits alike.
    near = {"rtol": 2e-2, "atol": 3e-3} if case[-1] == "bfloat16" else {"atol": 1e-5}
    # Both at once: a loop of steps of two members, one of whom is the GAN scanned alone.
    many = population(gan)
    members, step = jax.jit(many.init)(keys), jax.jit(many.train_step)
    for index in range(STEPS):
        members, _ = step(members, jax.tree.map(lambda x, index=index: x[index], batches))
    for part in ("generator", "discriminator", "average"):
        looped = jax.tree.map(lambda x: x[1], getattr(members, part))
        assert_close(looped, getattr(scanned, part), **near)


def some_of_each(*axes: str) -> set[tuple[str, ...]]:
    """Few pairs in float32 in which every value of these axes occurs."""
    places = [list(AXES).index(axis) for axis in axes]
    cases = [case for case in PAIRS if case[-1] == "float32"]
    seen, chosen = set(), set()

    def cost(case: tuple[str, ...]) -> int:
        _, penalty, dynamics, change, _ = case
        several = dynamics in ("two_to_one", "extragradient", "consensus", "unrolled")
        of_rows = penalty not in ("none", "r1", "r2")
        return 2 * several + of_rows + (penalty != "none") + change.startswith("relativistic")

    # What takes long to compile comes last: by then most has been seen.
    for case in sorted(cases, key=cost):
        values = {(place, case[place]) for place in places}
        if not values <= seen:
            chosen.add(case)
            seen |= values
    return chosen


PAIRS = covering_pairs()
SOME = some_of_each("recipe", "penalty", "dynamics")
WHOLE = some_of_each("dynamics")


def test_pairs_are_covered():
    assert WHOLE <= SOME and {case[2] for case in WHOLE} == set(DYNAMICS)
    assert set().union(*map(pairs_of, PAIRS)) == set().union(*map(pairs_of, ALL))
    assert len(PAIRS) < 1.25 * len(KINDS) * len(DYNAMICS)  # what the largest two need
    configs = [config_of(case) for case in PAIRS]
    assert {config.loss for config in configs} == set(LOSSES)
    assert {config.discriminator_optimizer.name for config in configs} == set(OPTIMIZERS)


def test_recipes_left_out_are_others_here():
    """But for what pairs have anyway, or what changes no part of a step: sizes, rates, decays."""
    free = {"recipe", "loss", "steps", "decay.shape", "decay.horizon", "average_decay"}
    free |= {"picture_interval", "checkpoint_interval", "log_interval", "data_dir", "dataset"}
    free |= {"penalty_interval"}  # `gan` and `cgan` have one, the others penalties at every step
    free |= {f"{player}.activation" for player in ("generator", "discriminator")}
    free |= {
        "generator.temperature",
        "generator.initializer",
        "discriminator.initializer",
        "discriminator.center",
    }
    free |= {f"{player}_optimizer.{b}" for player in ("generator", "discriminator") for b in BETAS}

    def facts(name):
        changes = ("r1", "simultaneous", "as_it_is", "float32")
        flat = jax.tree.leaves_with_path(config_of((name, *changes)).to_dict())
        return {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in flat}

    for name in ALIKE:
        differs = [
            {field for field in kind | this if kind.get(field) != this.get(field)} - free
            for this in [facts(name)]
            for kind in map(facts, KINDS)
        ]
        assert set() in differs, (name, min(differs, key=len))


@pytest.mark.parametrize(
    "case",
    [
        # These two take longer to trace than all others together.
        pytest.param(case, marks=[pytest.mark.long] * (case[2] in ("consensus", "unrolled")))
        for case in PAIRS
        if case not in SOME
    ],
    ids="-".join,
)
def test_types(case):
    check_types(case)


@pytest.mark.parametrize("case", sorted(SOME), ids="-".join)
def test_some(case):
    check(case, whole=case in WHOLE)


@pytest.mark.long
@pytest.mark.parametrize("case", PAIRS, ids="-".join)
def test_pair(case):
    check(case)


EVERY = itertools.product(
    RECIPES, AXES["penalty"], AXES["dynamics"], ["as_it_is"], AXES["precision"]
)


@pytest.mark.long
@pytest.mark.parametrize("case", list(EVERY), ids="-".join)
def test_all(case):
    check(case)
