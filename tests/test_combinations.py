"""Recipes, penalties, dynamics and what else changes a step with each other, at tiny sizes.

Every pair of them here: the state keeps its type, figures are finite, samples have their shape; of
some, and at length of every recipe with every penalty and dynamics, also that a scan of steps is a
loop of them, and a member of a population that GAN alone.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_close

from gan_jax.config import Config
from gan_jax.gan import from_config
from gan_jax.loops import population
from gan_jax.losses import LOSSES
from gan_jax.optimizers import OPTIMIZERS
from gan_jax.penalties import PENALTIES
from gan_jax.recipes import RECIPES, recipe
from gan_jax.types import Batch

STEPS, ROWS = 3, 4
DYNAMICS = {
    "alternating": {"discriminator_steps": 1},
    "two_to_one": {"discriminator_steps": 2},
    "simultaneous": {"discriminator_steps": 1, "dynamics": {"name": "simultaneous"}},
    "extragradient": {"discriminator_steps": 1, "dynamics": {"name": "extragradient"}},
    "consensus": {"discriminator_steps": 1, "dynamics": {"name": "consensus"}},
    "unrolled": {"discriminator_steps": 1, "dynamics": {"name": "unrolled", "unroll": 1}},
}


def both(**changes: Any) -> dict[str, Any]:
    return {"generator": changes, "discriminator": changes}


def optimizers(**changes: Any) -> dict[str, Any]:
    return {"generator_optimizer": changes, "discriminator_optimizer": changes}


# What the recipes below do not have, several at a time.
CHANGES = {
    "as_it_is": {},
    "least_squares": {"loss": "least_squares", "noise": {"deviation": 0.3}},
    "relativistic": {"loss": "relativistic", **both(name="residual_mlp")},
    "relativistic_average": {
        "loss": "relativistic_average",
        "generator": {"normalization": "spectral"},
    },
    "softmax": {"loss": "softmax", **optimizers(name="optimistic_adam")},
    "boundary_seeking": {"loss": "boundary_seeking", **optimizers(name="sgd")},
    "minimax": {
        "loss": "minimax",
        **optimizers(name="optimistic_sgd"),
        "generator": {"normalization": "layer"},
        "discriminator": {"normalization": "layer", "minibatch_deviation": True},
    },
}
# Each of these is another here, but for its loss, penalties, sizes, rates and activations: once in
# the pairs, at length all.
ALIKE = ("lsgan", "wgan-gp", "dragan", "rgan", "r3gan", "unrolled", "points", "gan-large")
AXES = {
    "recipe": [name for name in RECIPES if name not in ALIKE],
    "penalty": ["none", *PENALTIES],
    "dynamics": list(DYNAMICS),
    "change": list(CHANGES),
    "precision": ["float32", "bfloat16"],
}
ALL = list(itertools.product(*AXES.values()))


def covering_pairs() -> list[tuple[str, ...]]:
    """Few combinations among which every pair of two axes' values occurs; greedy."""
    places = list(itertools.combinations(range(len(AXES)), 2))

    def pairs(case):
        return {(i, j, case[i], case[j]) for i, j in places}

    left = set().union(*map(pairs, ALL))
    order = np.random.default_rng(0)
    chosen = []
    while left:
        some = [ALL[index] for index in order.integers(len(ALL), size=200)]
        first = next(iter(sorted(left)))
        some += [case for case in ALL if first in pairs(case)][:200]
        best = max(some, key=lambda case: len(pairs(case) & left))
        if pairs(best) & left:
            chosen.append(best)
            left -= pairs(best)
    # Whatever need not be in bfloat16 takes half the time to compile in float32.
    for index, case in enumerate(chosen):
        others = set().union(*map(pairs, chosen[:index] + chosen[index + 1 :]))
        if pairs(case) <= others | pairs(plain := (*case[:-1], "float32")):
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
        # Products of convolutions are in float32 alone.
        "precision": "float32" if convolutions else precision,
        "generator_steps": 1,
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


def check(case: tuple[str, ...], *, whole: bool) -> None:
    config = config_of(case)
    gan = from_config(config)
    keys = jax.random.split(jax.random.key(0), 2)
    rows = ROWS * config.discriminator_steps
    samples = jax.random.normal(jax.random.key(1), (STEPS, rows, *config.sample_shape))
    batches = Batch(samples, jnp.arange(STEPS * rows).reshape(STEPS, rows) % 3)

    def in_a_scan(gan, state):
        return jax.lax.scan(gan.train_step, state, batches)

    alone = jax.jit(lambda state: in_a_scan(gan, state))
    first = gan.init(keys[1])
    scanned, metrics = alone(first)
    for a, b in zip(jax.tree.leaves(scanned), jax.tree.leaves(first), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert metrics.finite.all()
    drawn = gan.sample(scanned, keys[0], 5)
    assert drawn.shape == (5, *config.sample_shape) and np.isfinite(drawn).all()
    if not whole:
        return
    # Products in bfloat16 round to 8 bits what programs compiled apart have to 24 bits alike.
    near = {"rtol": 2e-2, "atol": 3e-3} if config.precision == "bfloat16" else {}
    step, state = jax.jit(gan.train_step), first
    for index in range(STEPS):
        state, _ = step(state, jax.tree.map(lambda x, index=index: x[index], batches))
    assert_close(scanned.generator, state.generator, **near)
    assert_close(scanned.discriminator, state.discriminator, **near)
    many = population(gan)
    together = jax.jit(lambda keys: in_a_scan(many, many.init(keys)))
    members, _ = together(keys)
    assert_close(jax.tree.map(lambda x: x[1], members.average), scanned.average, **near)


PAIRS = covering_pairs()


def test_pairs_are_covered():
    found = {
        (i, j, case[i], case[j])
        for case in PAIRS
        for i, j in itertools.combinations(range(len(AXES)), 2)
    }
    sizes = [len(values) for values in AXES.values()]
    assert len(found) == sum(a * b for a, b in itertools.combinations(sizes, 2))
    assert len(PAIRS) < 1.25 * len(AXES["recipe"]) * len(CHANGES)  # what the largest two need
    configs = [config_of(case) for case in PAIRS]
    assert {config.loss for config in configs} == set(LOSSES)
    assert {config.discriminator_optimizer.name for config in configs} == set(OPTIMIZERS)


@pytest.mark.parametrize("case", PAIRS, ids="-".join)
def test_pair(case):
    check(case, whole=PAIRS.index(case) % 8 == 0)


@pytest.mark.long
@pytest.mark.parametrize(
    "case",
    list(
        itertools.product(
            RECIPES, AXES["penalty"], AXES["dynamics"], ["as_it_is"], AXES["precision"]
        )
    ),
    ids="-".join,
)
def test_all(case):
    check(case, whole=True)
