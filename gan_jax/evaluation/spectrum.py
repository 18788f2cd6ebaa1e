r"""Why does my GAN cycle? The eigenvalues of the game's Jacobian answer.

The players follow the field :math:`v = -(\nabla_G L_G, \nabla_D L_D)`, each gradient by that
player's own parameters. Near an equilibrium, flow along it converges where every eigenvalue of its
Jacobian has a negative real part; a pair with real part 0 and imaginary part w circles at that
frequency, and simultaneous steps of any size h then leave, for :math:`|1 + ihw| > 1`.
arXiv:1705.10461, arXiv:1801.04406.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.sparse import linalg

from gan_jax.dynamics import gradients
from gan_jax.errors import InputError
from gan_jax.game import Game
from gan_jax.moves import Gradients
from gan_jax.state import GANState, at_params
from gan_jax.types import Batch

sparse: Any = linalg  # its stubs say little

__all__ = ["DENSE", "game_jacobian", "game_spectrum"]

DENSE = 2_000  # parameters, up to which the whole matrix is taken apart


def game_jacobian(game: Game, state: GANState, batch: Batch) -> np.ndarray:
    """The Jacobian of the field, ``[n, n]``, the generator's parameters before the discriminator's.

    Args:
        game: of the GAN: ``gan.game``.
        state: where; its key and step decide the latents.
        batch: of real rows.

    Raises:
        InputError: more than 2,000 parameters; `game_spectrum` needs no matrix. Or products in
            bfloat16, which differentiate backwards only.
    """
    size = _size(state)
    if size > DENSE:
        raise InputError(f"state: {size:,} parameters; a dense Jacobian takes up to {DENSE:,}")
    with _forwards():
        return np.asarray(_of_game(_jacobian, game)(state, batch))


def game_spectrum(game: Game, state: GANState, batch: Batch, count: int = 6) -> np.ndarray:
    """Eigenvalues of that Jacobian, complex, the largest real part first.

    Up to 2,000 parameters all of them; beyond, ``count`` with the largest real parts, by Arnoldi
    iterations on products with the Jacobian, one generator and discriminator pass each. Penalties
    that only every n-th step takes count as what they come to over all steps.

    Args:
        game: of the GAN: ``gan.game``.
        state: where; its key and step decide the latents.
        batch: of real rows.
        count: how many, beyond 2,000 parameters.

    Raises:
        InputError: too few of them asked for, the iterations have not settled, or products in
            bfloat16.
    """
    if count < 1:
        raise InputError(f"count: {count} is out of range; at least 1 is allowed")
    size = _size(state)
    if size <= DENSE:
        found = np.linalg.eigvals(game_jacobian(game, state, batch).astype(np.float64))
    else:
        by_vector = _of_game(_product, game)

        def product(vector: np.ndarray) -> np.ndarray:
            return np.asarray(by_vector(state, batch, jnp.float32(vector.ravel())))

        with _forwards():
            found = _leading(product, size, count)
    return found[np.lexsort((-np.imag(found), -np.real(found)))]


@contextmanager
def _forwards() -> Iterator[None]:
    """What cannot be differentiated forwards, in one line."""
    try:
        yield
    except TypeError as error:
        if "custom_vjp" not in str(error):
            raise
        raise InputError(
            "game: its products are in bfloat16, or another custom_vjp, which differentiate "
            "backwards only; precision float32 is allowed"
        ) from error


def _leading(product: Callable[[np.ndarray], np.ndarray], size: int, count: int) -> np.ndarray:
    operator = sparse.LinearOperator((size, size), matvec=product, dtype=np.float32)
    start = np.random.default_rng(0).normal(size=size).astype(np.float32)
    try:
        return sparse.eigs(
            operator, k=count, which="LR", v0=start, tol=1e-4, return_eigenvectors=False
        )
    except sparse.ArpackNoConvergence as error:
        raise InputError(f"state: the iterations have not settled ({error})") from error


def _size(state: GANState) -> int:
    return sum(
        leaf.size for leaf in jax.tree.leaves((state.generator.params, state.discriminator.params))
    )


def _of_game(function: Any, game: Game) -> Callable[..., jax.Array]:
    """Compiled once for a game, so that its next state takes milliseconds; if it can be a key."""
    try:
        hash(game)
    except TypeError:
        return jax.jit(partial(function.__wrapped__, game))
    return partial(function, game)


@partial(jax.jit, static_argnums=0)
def _jacobian(game: Game, state: GANState, batch: Batch) -> jax.Array:
    field, here = _field(game, state, batch)
    return jax.jacfwd(field)(here)


@partial(jax.jit, static_argnums=0)
def _product(game: Game, state: GANState, batch: Batch, vector: jax.Array) -> jax.Array:
    field, here = _field(game, state, batch)
    return jax.jvp(field, (here,), (vector,))[1]


def _field(
    game: Game, state: GANState, batch: Batch
) -> tuple[Callable[[jax.Array], jax.Array], jax.Array]:
    here = Gradients(state.generator.params, state.discriminator.params)
    flat, unravel = ravel_pytree(here)

    every = game._replace(unpenalized_loss=None)
    weights = {
        name: weight / game.penalty_interval if name.startswith("penalties.") else weight
        for name, weight in state.hyperparameters.items()
    }
    state = dataclasses.replace(state, hyperparameters=weights)

    def field(params: jax.Array) -> jax.Array:
        found, _ = gradients(every, at_params(state, *unravel(params)), batch)
        return -ravel_pytree(found)[0]

    return field, flat
