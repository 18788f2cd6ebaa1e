"""Losses, penalties, dynamics, kinds of players and optimisers with each other.

Every pair of them here: the state keeps its type, figures are finite, samples have their shape. All
of them together at length: also a scan of steps is a loop of them, and a member of a
population is that GAN alone.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_close, tiny_config

from gan_jax.config import Config, DiscriminatorConfig, DynamicsConfig, GeneratorConfig
from gan_jax.gan import from_config
from gan_jax.loops import population
from gan_jax.losses import LOSSES
from gan_jax.penalties import PENALTIES
from gan_jax.types import Batch

STEPS, ROWS = 3, 4
PLAYERS = {
    "concatenate": {"condition": "concatenate", "normalization": "layer"},
    "projection": {"condition": "projection"},
    "classes": {"head": "classes"},
    "semi_supervised": {"head": "semi_supervised"},
    "information": {"head": "codes"},
    "packs": {"pack": 2, "minibatch_deviation": True},
}
AXES = {
    "loss": list(LOSSES),
    "players": list(PLAYERS),
    "penalty": ["none", *PENALTIES],
    "dynamics": ["alternating", "simultaneous", "extragradient", "consensus", "unrolled"],
    "optimizer": ["adam", "optimistic_adam", "sgd"],
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
    return chosen


def config_of(case: tuple[str, ...]) -> Config:
    loss, players, penalty, dynamics, optimizer, precision = case
    wanted = {"classes", "semi_supervised", "information"} & {players}
    conditional = players in ("concatenate", "projection", "classes")
    base = tiny_config()
    rates = {"name": optimizer, "learning_rate": 1e-2, "epsilon": 1e-2}
    return Config.from_dict(
        {"generator_optimizer": rates, "discriminator_optimizer": rates},
        Config(
            sample_shape=(2,),
            classes=3,
            batch_size=ROWS,
            loss=loss,
            precision=precision,
            penalties={} if penalty == "none" else {penalty: 0.3},
            terms=dict.fromkeys(wanted, 0.5),
            dynamics=DynamicsConfig(name=dynamics, unroll=2),
            average_decay=0.9,
            generator=GeneratorConfig(
                latent_size=3,
                categories=2,
                widths=(4,),
                activation="tanh",
                last_activation="identity",
                condition="concatenate" if conditional else "none",
            ),
            discriminator=DiscriminatorConfig(widths=(4,), activation="tanh", **PLAYERS[players]),
            generator_optimizer=base.generator_optimizer,
            discriminator_optimizer=base.discriminator_optimizer,
        ),
    )


def check(case: tuple[str, ...], *, whole: bool) -> None:
    gan = from_config(config_of(case))
    keys = jax.random.split(jax.random.key(0), 2)
    samples = jax.random.normal(jax.random.key(1), (STEPS, ROWS, 2))
    batches = Batch(samples, jnp.arange(STEPS * ROWS).reshape(STEPS, ROWS) % 3)

    def in_a_scan(gan, state):
        return jax.lax.scan(gan.train_step, state, batches)

    alone = jax.jit(lambda state: in_a_scan(gan, state))
    first = gan.init(keys[1])
    scanned, metrics = alone(first)
    for a, b in zip(jax.tree.leaves(scanned), jax.tree.leaves(first), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert metrics.finite.all()
    drawn = gan.sample(scanned, keys[0], 5)
    assert drawn.shape == (5, 2) and np.isfinite(drawn).all()
    if not whole:
        return
    step, state = jax.jit(gan.train_step), first
    for index in range(STEPS):
        state, _ = step(state, jax.tree.map(lambda x, index=index: x[index], batches))
    assert_close(scanned.generator, state.generator)
    assert_close(scanned.discriminator, state.discriminator)
    many = population(gan)
    together = jax.jit(lambda keys: in_a_scan(many, many.init(keys)))
    members, _ = together(keys)
    assert_close(jax.tree.map(lambda x: x[1], members.average), scanned.average)


PAIRS = covering_pairs()


def test_pairs_are_covered():
    found = {
        (i, j, case[i], case[j])
        for case in PAIRS
        for i, j in itertools.combinations(range(len(AXES)), 2)
    }
    sizes = [len(values) for values in AXES.values()]
    assert len(found) == sum(a * b for a, b in itertools.combinations(sizes, 2))
    assert len(PAIRS) < 1.25 * len(LOSSES) * len(PLAYERS)  # what the largest two need


@pytest.mark.parametrize("case", PAIRS, ids="-".join)
def test_pair(case):
    # A few of them whole: to float32 rounding, so those that multiply in float32.
    check(case, whole=PAIRS.index(case) % 8 == 0 and case[-1] == "float32")


@pytest.mark.long
@pytest.mark.parametrize("case", [case for case in ALL if case[-1] == "float32"], ids="-".join)
def test_all(case):
    check(case, whole=True)
