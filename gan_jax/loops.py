"""How often and how many: many steps as one program (scan), many GANs as one program (vmap)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gan_jax.gan import GAN
from gan_jax.state import GANState, Metrics
from gan_jax.types import Batch, Key, Samples

__all__ = ["advance", "one_by_one", "population", "scan_steps"]

TrainStep = Callable[[GANState, Batch], tuple[GANState, Metrics]]


def scan_steps(train_step: TrainStep, state: GANState, batches: Batch) -> tuple[GANState, Metrics]:
    """One step for each batch, as one `jax.lax.scan`: an epoch in one program.

    Args:
        train_step: of a `GAN`.
        state: where to start.
        batches: the batches of all steps, stacked: ``[steps, batch, ...]``.

    Returns:
        The last state, and the metrics of every step, ``[steps]`` each.
    """
    return jax.lax.scan(train_step, state, batches)


def advance(
    train_step: TrainStep, take: Callable[[Any, Any], Batch]
) -> Callable[[GANState, Any, Any, jax.Array], tuple[GANState, Metrics]]:
    """Any number of steps from one compiled program: what a host's loop calls.

    A scan is compiled for its length, and XLA may round differently in programs of different
    lengths. Here the number of steps is an argument, so a run that stops and goes on anywhere
    executes the very same program as one that never stopped, and gives the same bits.

    Args:
        train_step: of a `GAN`.
        take: ``(source, pick) -> Batch``, which makes one step's batch inside the program.

    Returns:
        ``(state, source, picks, count) -> (state, metrics)``: does ``count`` steps, at least one,
        the i-th on ``take(source, picks[i])``, and returns the metrics of the last.
    """

    @functools.partial(jax.jit, inline=True)  # so that it is traced once, though called twice
    def one(state: GANState, source: Any, pick: Any) -> tuple[GANState, Metrics]:
        return train_step(state, take(source, pick))

    def program(
        state: GANState, source: Any, picks: Any, count: jax.Array
    ) -> tuple[GANState, Metrics]:
        def step(index: jax.Array, carry: tuple[GANState, Metrics]) -> tuple[GANState, Metrics]:
            return one(carry[0], source, jax.tree.map(lambda x: x[index], picks))

        _, shapes = jax.eval_shape(one, state, source, jax.tree.map(lambda x: x[0], picks))
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        return jax.lax.fori_loop(0, count, step, (state, nothing))

    return program


def one_by_one(
    program: Callable[..., tuple[GANState, Any]],
) -> Callable[..., tuple[GANState, Any]]:
    """A population trained member after member, in one program: a CPU's way.

    What ``jax.vmap(program, in_axes=(0, None, ...))`` computes, with only one member's gradients
    and activations in memory at a time, and its state in the processor's cache for as many steps as
    the program does. A GPU has room for all of them side by side: vmap there.

    Args:
        program: ``(state, *rest) -> (state, report)`` for one GAN: `advance`'s, or a scan of steps.

    Returns:
        ``(states, *rest) -> (states, reports)``; every leaf of the states and reports has a leading
        axis of members, ``rest`` is shared. Donate the states, and they are updated in place.
    """

    def run(states: GANState, *rest: Any) -> tuple[GANState, Any]:
        def one(states: GANState, member: jax.Array) -> tuple[GANState, Any]:
            state, report = program(jax.tree.map(lambda x: x[member], states), *rest)
            return jax.tree.map(lambda all, x: all.at[member].set(x), states, state), report

        return jax.lax.scan(one, states, jnp.arange(states.step.shape[0]))

    return run


def population(gan: GAN) -> GAN:
    """Many GANs trained as one program: the same record, vmapped. See also `one_by_one`.

    ``init`` takes ``[members]`` keys; every leaf of its state then has a leading axis of members.
    All members see the same batches and are at the same step, that of the first. Learning rates and
    hyperparameters are leaves like any other, so a sweep over them is a population whose leaves
    differ.
    """

    def init(keys: Key) -> GANState:
        return jax.vmap(gan.init)(keys)

    def train_step(states: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        step = states.step[0]  # of them all, or what is done at some steps would be done at each

        def one(state: GANState) -> tuple[GANState, Metrics]:
            return gan.train_step(dataclasses.replace(state, step=step), batch)

        return jax.vmap(one)(states)

    def sample(states: GANState, *asked: Any, **named: Any) -> Samples:
        """``[members, count, *sample_shape]``, every member from the same latents."""
        return jax.vmap(lambda state: gan.sample(state, *asked, **named))(states)

    return GAN(init, train_step, sample, gan.game)
