"""What survives to the next step (`GANState`), and what is only reported (`Metrics`)."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from gan_jax.types import Key, Params

__all__ = ["GANState", "Metrics", "Player", "at_params", "gradient_norm"]


@struct.dataclass
class Player:
    """One side of the game."""

    params: Params
    opt_state: optax.OptState  # the learning rate lives here, as an array


@struct.dataclass
class GANState:
    """All that must survive to the next step, and nothing else."""

    step: jax.Array  # [] int32, counts steps
    key: Key  # [] typed root key, never advanced: step t uses fold_in(key, t)
    generator: Player
    discriminator: Player
    average: Params  # running average of the generator's parameters, used for sampling
    hyperparameters: dict[str, jax.Array]  # [] float32 each, by Config's nested name


class Metrics(NamedTuple):
    """What one step reports; every leaf is a scalar. ``None`` where the loss defines no such thing.

    The discriminator's figures are those before its (last) move of the step, the generator's those
    before its (first): of extragradient at the first look, of consensus without its calming.
    """

    discriminator_loss: jax.Array  # penalties included
    generator_loss: jax.Array
    real_logits: jax.Array  # mean over the batch
    fake_logits: jax.Array  # mean over the batch
    real_above_fake: jax.Array  # share of pairs with real_logit > fake_logit, ties being half
    real_probability: jax.Array | None  # mean D(x)
    fake_probability: jax.Array | None  # mean D(G(z))
    value: (
        jax.Array | None
    )  # V(D, G) = mean log D(x) + mean log(1 - D(G(z))); -log 4 at equilibrium
    penalties: dict[str, jax.Array]  # mean of each plain quantity, unweighted; 0 where left out
    discriminator_gradient_norm: jax.Array
    generator_gradient_norm: jax.Array
    finite: jax.Array  # bool: all of the above are finite
    extra: dict[str, jax.Array]  # what further terms of the objectives report

    def flatten(self) -> dict[str, Any]:
        """The leaves by name, nested ones as ``penalties.r1``, absent ones left out."""
        flat: dict[str, Any] = {}
        for name, value in self._asdict().items():
            if isinstance(value, dict):
                flat |= {f"{name}.{inner}": leaf for inner, leaf in value.items()}
            elif value is not None:
                flat[name] = value
        return flat


def at_params(state: GANState, generator: Params, discriminator: Params) -> GANState:
    """The state with both players at other parameters, all else as it is."""
    return dataclasses.replace(
        state,
        generator=Player(params=generator, opt_state=state.generator.opt_state),
        discriminator=Player(params=discriminator, opt_state=state.discriminator.opt_state),
    )


def gradient_norm(gradient: Params) -> jax.Array:
    """Euclidean norm over all leaves, ``[]``: what `optax.tree.norm` gives, to float32 rounding.

    On a CPU, XLA sums a matrix of squares column by column faster than whole, and faster again
    where the squares are not computed anew for it.
    """
    return jnp.sqrt(sum(_sum_of_squares(leaf) for leaf in jax.tree.leaves(gradient)))


def _sum_of_squares(leaf: jax.Array) -> jax.Array:
    def by_columns(squares: jax.Array) -> jax.Array:
        columns = jnp.sum(jax.lax.optimization_barrier(jnp.atleast_1d(squares)), axis=0)
        return jnp.sum(jax.lax.optimization_barrier(columns))

    return jax.lax.platform_dependent(jnp.square(leaf), cpu=by_columns, default=jnp.sum)
