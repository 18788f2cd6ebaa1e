"""The duality gap of games whose best answers are known."""

import jax
import jax.numpy as jnp
import pytest

from gan_jax.errors import InputError
from gan_jax.evaluation.duality import duality_gap
from gan_jax.losses import minimax


@pytest.mark.parametrize(("g", "d"), [(0.0, 0.0), (1.0, -0.5), (-0.7, 2.0)])
def test_a_quadratic_game(g, d):
    """V = a g²/2 + b g d − c d²/2: the best answers are d = b g / c and g = −b d / a."""
    a, b, c = 2.0, 3.0, 1.5

    def value(g, d):
        return 0.5 * a * g**2 + b * g * d - 0.5 * c * d**2

    found = jax.jit(lambda g, d: duality_gap(value, g, d, steps=3_000))(g, d)
    highest = (0.5 * a + 0.5 * b**2 / c) * g**2
    lowest = -(0.5 * c + 0.5 * b**2 / a) * d**2
    assert found.best_discriminator == pytest.approx(highest, abs=1e-4)
    assert found.best_generator == pytest.approx(lowest, abs=1e-4)
    assert found.gap == pytest.approx(highest - lowest, abs=2e-4)


def test_a_gan_on_two_points():
    """A generator with the data's shares, a logit of 0 everywhere: no one can win; V is -log 4."""
    data = jnp.array([0.5, 0.5])

    def value(generator, discriminator):
        fakes = jax.nn.softmax(generator)
        of_reals = (data * -jax.nn.softplus(-discriminator)).sum()
        return of_reals + (fakes * -jax.nn.softplus(discriminator)).sum()

    at_rest = duality_gap(value, jnp.zeros(2), jnp.zeros(2))
    assert at_rest.gap == pytest.approx(0.0, abs=1e-6)
    logits = jnp.zeros(1)
    game_value = -minimax.discriminator(logits, logits)[0]
    assert at_rest.best_generator == pytest.approx(float(game_value), rel=1e-6)
    # All fakes on one point: against it the best discriminator reaches 2 JSD - log 4.
    collapsed = duality_gap(value, jnp.array([30.0, -30.0]), jnp.zeros(2), steps=4_000)
    middle = (data + jnp.array([1.0, 0.0])) / 2
    jsd = 0.5 * (data * jnp.log(data / middle)).sum() + 0.5 * jnp.log(1.0 / middle[0])
    assert collapsed.best_discriminator == pytest.approx(float(2 * jsd - jnp.log(4.0)), abs=1e-3)


def test_a_bad_answer_counts_for_nothing():
    """A step that overshoots leaves the value where it was: the gap is never negative."""
    found = duality_gap(lambda g, d: g**2 - d**2, 1.0, 1.0, steps=50, learning_rate=1e3)
    assert found.best_discriminator >= 0.0 >= found.best_generator
    overflowing = duality_gap(lambda g, d: jnp.exp(g) - jnp.exp(d), 1.0, 1.0, learning_rate=1e3)
    assert overflowing.gap >= 0.0
    one = duality_gap(lambda g, d: g**2 - d**2, 1.0, 1.0, steps=1, learning_rate=0.1)
    assert one.gap > 0.3  # the only step counts


def test_no_steps():
    with pytest.raises(InputError, match="steps: 0 is out of range"):
        duality_gap(lambda g, d: g * d, jnp.zeros(()), jnp.zeros(()), steps=0)
