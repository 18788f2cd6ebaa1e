"""How far two players are from an equilibrium: what each could still win against the other."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.errors import InputError
from gan_jax.types import Params

__all__ = ["DualityGap", "duality_gap"]


class DualityGap(NamedTuple):
    """0 at an equilibrium, greater elsewhere."""

    gap: jax.Array  # [] what both could win together
    best_discriminator: jax.Array  # [] V of the discriminator's best answer
    best_generator: jax.Array  # [] V of the generator's best answer


def duality_gap(
    value: Callable[[Params, Params], jax.Array],
    generator: Params,
    discriminator: Params,
    *,
    steps: int = 500,
    learning_rate: float = 1e-2,
) -> DualityGap:
    """``max_D V(G, D) - min_G V(G, D)``, each player against the other as it stands.

    Each answers by Adam from where it is, and its best value on the way counts, so that the gap is
    a lower bound of the true one and never negative. For games with few parameters: with many, an
    answer as good as that takes as long as a training. arXiv:1811.05512. Pure; may be jitted.

    Args:
        value: ``(generator, discriminator) -> []``, which the generator minimises and the
            discriminator maximises; over fixed rows and latents, or it changes under the players.
        generator: parameters.
        discriminator: parameters.
        steps: of each answer.
        learning_rate: of each answer.

    Raises:
        InputError: less than one step.
    """
    if steps < 1:
        raise InputError(f"steps: {steps} is out of range; at least 1 is allowed")
    optimizer = optax.adam(learning_rate)

    def least(objective: Callable[[Params], jax.Array], start: Params) -> jax.Array:
        def step(carry, _):
            params, opt_state = carry
            found, gradient = jax.value_and_grad(objective)(params)
            updates, opt_state = optimizer.update(gradient, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), found

        _, values = jax.lax.scan(
            step, (start, optimizer.init(start)), length=steps + 1
        )  # the last looks only
        return jnp.nanmin(values)

    best_discriminator = -least(lambda params: -value(generator, params), discriminator)
    best_generator = least(lambda params: value(params, discriminator), generator)
    return DualityGap(best_discriminator - best_generator, best_discriminator, best_generator)
