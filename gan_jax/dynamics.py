r"""Who moves when: a `Game` and two optimisers become the moves of one step.

How each fares can be seen on the bilinear game :math:`\min_\theta \max_\psi \theta\psi` at rate h.
Its field has a matrix F of eigenvalues :math:`\pm i`, a step of plain gradients these, by size:

- simultaneous, :math:`1 + hF`: :math:`|1 + ih| = \sqrt{1 + h^2}`, away from the equilibrium;
- alternating, of determinant 1 and trace :math:`2 - h^2`: exactly 1 for h < 2, round and round;
- extragradient, :math:`1 + hF(1 + hF)`: :math:`|1 - h^2 + ih| = \sqrt{1 - h^2 + h^4}`, below 1 for
  h < 1;
- consensus of weight g, :math:`1 + h(F - gF^\top F)`: :math:`|1 - hg + ih|`;
- optimistic, :math:`x_{t+1} = x_t + 2hFx_t - hFx_{t-1}`: the larger root of :math:`\lambda^2 - (1 +
  2ih)\lambda + ih`, below 1 for :math:`h < 1/\sqrt 3`. It is an optimiser, not a dynamics.

Each is a test, as are those of Dirac-GAN under every loss.
"""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.core import Tracer

from gan_jax.errors import InputError
from gan_jax.game import Game, Round
from gan_jax.moves import (
    Gradients,
    Moves,
    Optimizers,
    answer,
    draw_round,
    judge_round,
    metrics_of,
    move,
    move_both,
)
from gan_jax.state import GANState, Metrics, Player, at_params
from gan_jax.types import Batch, Key

__all__ = [
    "Dynamics",
    "alternating",
    "consensus",
    "extragradient",
    "gradients",
    "simultaneous",
    "unrolled",
]

Dynamics = Callable[[Game, Optimizers], Callable[[GANState, Batch], Moves]]


def alternating(discriminator_steps: int = 1, generator_steps: int = 1) -> Dynamics:
    """So many moves of the discriminator, then so many of the generator.

    A batch holds ``discriminator_steps * b`` rows: each of the discriminator's moves sees the next
    b of them and as many fresh fakes; the generator answers on the last of these latents and rows.
    One pass through the generator then serves both players: the discriminator sees its output,
    and the generator's gradient is the pullback of the discriminator's gradient at that output.
    Further moves of the generator are on fresh latents beside the same rows.
    Algorithm 1 of arXiv:1406.2661.

    Raises:
        InputError: either number is below 1, or (when traced) the batch does not divide into
            ``discriminator_steps`` parts.
    """
    return _alternating(discriminator_steps, generator_steps)


def unrolled(
    steps: jax.typing.ArrayLike, discriminator_steps: int = 1, *, most: int | None = None
) -> Dynamics:
    """Alternating, but the generator looks ahead: at the discriminator ``steps`` moves later.

    Its gradient goes through these moves, which the discriminator itself does not make: so it sees
    that the discriminator will answer a collapse. arXiv:1611.02163. The discriminator's optimiser
    has to be differentiable: optax's Adam is with an ``eps_root`` above 0.

    ``steps`` can be a traced integer, so that a population looks ahead by several of them at once,
    if ``most`` says how far: so many moves are made, and those beyond ``steps`` undone.

    Raises:
        InputError: as `alternating`; or ``steps``, where they are known, are below 0 or above
            ``most``.
    """
    reach = operator.index(steps) if most is None else most  # pyright: ignore[reportArgumentType]
    if not isinstance(steps, Tracer) and not 0 <= operator.index(steps) <= reach:  # pyright: ignore[reportArgumentType]
        allowed = "at least 0" if most is None else f"0 to {most}"
        raise InputError(f"steps: {steps} is out of range; {allowed} is allowed")
    return _alternating(discriminator_steps, 1, (steps, reach))


def simultaneous() -> Dynamics:
    """Both players move at once, each by its gradient at where both stand."""

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def play(state: GANState, batch: Batch) -> Moves:
            found, metrics = gradients(game, state, batch)
            return Moves(*move_both(optimizers, state, found), metrics)

        return play

    return dynamics


def extragradient() -> Dynamics:
    """Both look one move ahead, and move from where they stand by the gradients found there.

    The same rows and latents serve both looks; what the optimisers remember is of the second.
    arXiv:1802.10551.
    """

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def play(state: GANState, batch: Batch) -> Moves:
            first, metrics = gradients(game, state, batch)
            ahead = move_both(optimizers, state, first)
            there = at_params(state, *(player.params for player in ahead))
            found, _ = gradients(game, there, batch)
            return Moves(*move_both(optimizers, state, found), metrics)

        return play

    return dynamics


def consensus(weight: jax.typing.ArrayLike) -> Dynamics:
    r"""Both players at once also descend :math:`\frac\gamma2\|v\|^2`, v being both their gradients.

    So they agree to come to rest. Consensus optimisation, arXiv:1705.10461; ``weight`` is its
    :math:`\gamma`.
    """

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def play(state: GANState, batch: Batch) -> Moves:
            def unrest(players: Gradients):
                found, metrics = gradients(game, at_params(state, *players), batch)
                squares = sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(found))
                return 0.5 * squares, (found, metrics)

            here = Gradients(state.generator.params, state.discriminator.params)
            calming, (found, metrics) = jax.grad(unrest, has_aux=True)(here)
            total = jax.tree.map(lambda v, calm: v + weight * calm, found, calming)
            return Moves(*move_both(optimizers, state, total), metrics)

        return play

    return dynamics


def gradients(game: Game, state: GANState, batch: Batch) -> tuple[Gradients, Metrics]:
    """What each player would descend where both stand now, and the metrics of that."""
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), (1, 3))[0]
    round, pullback = draw_round(game, state, state.generator.params, keys, batch)
    at_discriminator, judged = judge_round(game, state.discriminator.params, round)
    objective = functools.partial(game.generator_loss, state.discriminator.params)
    at_generator, answered = answer(objective, round, pullback)
    return Gradients(at_generator, at_discriminator), metrics_of(judged, answered)


def _alternating(
    discriminator_steps: int,
    generator_steps: int,
    ahead: tuple[jax.typing.ArrayLike, int] | None = None,
) -> Dynamics:
    for field, found in (
        ("discriminator_steps", discriminator_steps),
        ("generator_steps", generator_steps),
    ):
        if found < 1:
            raise InputError(f"{field}: {found} is out of range; at least 1 is allowed")

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def judged_move(player: Player, round: Round):
            gradient, report = judge_round(game, player.params, round)
            return move(optimizers.discriminator, player, gradient), report

        def looking_ahead(steps: jax.typing.ArrayLike, most: int, player: Player, round: Round):
            """The generator's objective after ``steps`` of ``most`` moves by the discriminator."""

            def look(player: Player, index: jax.Array):
                moved, _ = judged_move(player, round)
                made = index < steps
                return jax.tree.map(lambda new, old: jnp.where(made, new, old), moved, player), None

            later, _ = jax.lax.scan(look, player, jnp.arange(most))
            return game.generator_loss(later.params, round)

        def play(state: GANState, batch: Batch) -> Moves:
            step_key = jax.random.fold_in(state.key, state.step)
            keys = jax.random.split(step_key, (discriminator_steps + generator_steps - 1, 3))
            parts = _split_rows(batch, discriminator_steps)
            earlier = jax.tree.map(lambda x: x[:-1], parts)
            last = jax.tree.map(lambda x: x[-1], parts)

            def earlier_move(player: Player, turn: tuple[Key, Batch]):
                round, _ = draw_round(game, state, state.generator.params, *turn)
                return judged_move(player, round)[0], None

            discriminator = state.discriminator
            if discriminator_steps > 1:
                turns = (keys[: discriminator_steps - 1], earlier)
                discriminator, _ = jax.lax.scan(earlier_move, discriminator, turns)
            round, pullback = draw_round(
                game, state, state.generator.params, keys[discriminator_steps - 1], last
            )
            discriminator, judged = judged_move(discriminator, round)

            now = functools.partial(game.generator_loss, discriminator.params)
            objective = now
            if ahead is not None:
                objective = functools.partial(looking_ahead, *ahead, discriminator)
            gradient, answered = answer(objective, round, pullback)
            generator = move(optimizers.generator, state.generator, gradient)

            def further_move(player: Player, key: Key):
                round, pullback = draw_round(game, state, player.params, key, last)
                gradient, _ = answer(now, round, pullback)
                return move(optimizers.generator, player, gradient), None

            if generator_steps > 1:
                generator, _ = jax.lax.scan(further_move, generator, keys[discriminator_steps:])
            return Moves(generator, discriminator, metrics_of(judged, answered))

        return play

    return dynamics


def _split_rows(batch: Batch, parts: int) -> Batch:
    """``[parts * b, ...] -> [parts, b, ...]`` for every array of the batch."""
    rows = batch.samples.shape[0]
    if rows % parts:
        raise InputError(
            f"batch: {rows} rows; {parts} discriminator steps need a multiple of {parts}"
        )
    return jax.tree.map(lambda x: x.reshape(parts, rows // parts, *x.shape[1:]), batch)
