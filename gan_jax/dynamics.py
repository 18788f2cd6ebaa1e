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

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.errors import InputError
from gan_jax.game import Game, Report, Round
from gan_jax.state import GANState, Metrics, Player, at_params, gradient_norm
from gan_jax.types import Batch, Key, Params, Samples

__all__ = [
    "Dynamics",
    "Gradients",
    "Moves",
    "Optimizers",
    "alternating",
    "consensus",
    "extragradient",
    "gradients",
    "simultaneous",
    "unrolled",
]


class Optimizers(NamedTuple):
    """One optax transformation for each player."""

    generator: optax.GradientTransformation
    discriminator: optax.GradientTransformation


class Moves(NamedTuple):
    """What a step of the dynamics yields."""

    generator: Player
    discriminator: Player
    metrics: Metrics


class Gradients(NamedTuple):
    """The game's vector field: what each player would descend, the other standing still."""

    generator: Params
    discriminator: Params


Dynamics = Callable[[Game, Optimizers], Callable[[GANState, Batch], Moves]]
Pullback = Callable[[Samples], tuple[Params]]


def alternating(discriminator_steps: int = 1, generator_steps: int = 1) -> Dynamics:
    """So many moves of the discriminator, then so many of the generator.

    A batch holds ``discriminator_steps * b`` rows: each of the discriminator's moves sees the next
    b of them and as many fresh fakes; the generator answers on the last of these latents and rows.
    One pass through the generator then serves both players: the discriminator sees its output,
    and the generator's gradient is the pullback of the discriminator's gradient at that output.
    Further moves of the generator are on fresh latents beside the same rows.
    Algorithm 1 of arXiv:1406.2661.

    Raises:
        InputError: (when traced) the batch does not divide into ``discriminator_steps`` parts.
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
        InputError: more steps than ``most``, where they are known.
    """
    reach = operator.index(steps) if most is None else most  # pyright: ignore[reportArgumentType]
    if isinstance(steps, int) and steps > reach:
        raise InputError(f"steps: {steps} is out of range; at most {reach} is allowed")
    return _alternating(discriminator_steps, 1, (steps, reach))


def simultaneous() -> Dynamics:
    """Both players move at once, each by its gradient at where both stand."""

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def play(state: GANState, batch: Batch) -> Moves:
            found, report = gradients(game, state, batch)
            return _move_both(optimizers, state, found, report)

        return play

    return dynamics


def extragradient() -> Dynamics:
    """Both look one move ahead, and move from where they stand by the gradients found there.

    The same rows and latents serve both looks; what the optimisers remember is of the second.
    arXiv:1802.10551.
    """

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def play(state: GANState, batch: Batch) -> Moves:
            first, report = gradients(game, state, batch)
            ahead = _move_both(optimizers, state, first, report)
            there = at_params(state, ahead.generator.params, ahead.discriminator.params)
            found, _ = gradients(game, there, batch)
            return _move_both(optimizers, state, found, report)

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
                found, report = gradients(game, at_params(state, *players), batch)
                return 0.5 * sum(jnp.sum(jnp.square(x)) for x in jax.tree.leaves(found)), (
                    found,
                    report,
                )

            here = Gradients(state.generator.params, state.discriminator.params)
            calming, (found, report) = jax.grad(unrest, has_aux=True)(here)
            total = jax.tree.map(lambda v, calm: v + weight * calm, found, calming)
            return _move_both(optimizers, state, total, report)

        return play

    return dynamics


def gradients(game: Game, state: GANState, batch: Batch) -> tuple[Gradients, Report]:
    """What each player would descend where both stand now, and what there is to report of it."""
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), (1, 3))[0]
    round, pullback = _draw(game, state, state.generator.params, keys, batch)
    gradient_of = jax.value_and_grad(game.discriminator_loss, has_aux=True)
    (loss, report), at_discriminator = gradient_of(state.discriminator.params, round)
    report["discriminator_loss"] = loss
    report["discriminator_gradient_norm"] = gradient_norm(at_discriminator)
    at_generator = _answer(game, state.discriminator.params, round, pullback, report)
    return Gradients(at_generator, at_discriminator), report


def _alternating(
    discriminator_steps: int,
    generator_steps: int,
    ahead: tuple[jax.typing.ArrayLike, int] | None = None,
) -> Dynamics:
    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def move_discriminator(player: Player, round: Round):
            gradient_of = jax.value_and_grad(game.discriminator_loss, has_aux=True)
            (loss, report), gradient = gradient_of(player.params, round)
            report["discriminator_loss"] = loss
            report["discriminator_gradient_norm"] = gradient_norm(gradient)
            return _update(optimizers.discriminator, player, gradient), report

        def play(state: GANState, batch: Batch) -> Moves:
            step_key = jax.random.fold_in(state.key, state.step)
            keys = jax.random.split(step_key, (discriminator_steps + generator_steps - 1, 3))
            mine, further = keys[:discriminator_steps], keys[discriminator_steps:]
            params = state.generator.params

            def earlier_move(player: Player, turn: tuple[Key, Batch]):
                round, _ = _draw(game, state, params, *turn)
                player, _ = move_discriminator(player, round)
                return player, None

            parts = _split_rows(batch, discriminator_steps)
            earlier, last = (
                jax.tree.map(lambda x: x[:-1], parts),
                jax.tree.map(lambda x: x[-1], parts),
            )
            discriminator = state.discriminator
            if discriminator_steps > 1:
                discriminator, _ = jax.lax.scan(earlier_move, discriminator, (mine[:-1], earlier))

            round, pullback = _draw(game, state, params, mine[-1], last)
            discriminator, report = move_discriminator(discriminator, round)
            if ahead is None:
                gradient = _answer(game, discriminator.params, round, pullback, report)
            else:
                gradient = _answer_ahead(*ahead, discriminator, round, mine[-1], state, report)
            generator = _update(optimizers.generator, state.generator, gradient)

            def further_move(player: Player, key: Key):
                round, pullback = _draw(game, state, player.params, key, last)
                gradient = _answer(game, discriminator.params, round, pullback, {"extra": {}})
                return _update(optimizers.generator, player, gradient), None

            if generator_steps > 1:
                generator, _ = jax.lax.scan(further_move, generator, further)
            return Moves(generator, discriminator, _metrics(report))

        def _answer_ahead(
            steps: jax.typing.ArrayLike,
            most: int,
            discriminator: Player,
            round: Round,
            keys: Key,
            state: GANState,
            report: Report,
        ) -> Params:
            def objective(params: Params):
                samples = game.generate(params, round.latents, round.real.labels, keys[1])
                seen = round._replace(fake=round.fake._replace(samples=samples))

                def move(player: Player, index: jax.Array):
                    moved, _ = move_discriminator(player, seen)
                    made = index < steps
                    return jax.tree.map(
                        lambda new, old: jnp.where(made, new, old), moved, player
                    ), None

                later, _ = jax.lax.scan(move, discriminator, jnp.arange(most))
                return game.generator_loss(later.params, seen)

            (loss, extra), gradient = jax.value_and_grad(objective, has_aux=True)(
                state.generator.params
            )
            _report_answer(report, loss, extra, gradient)
            return gradient

        return play

    return dynamics


def _draw(
    game: Game, state: GANState, params: Params, keys: Key, real: Batch
) -> tuple[Round, Pullback]:
    """One round's fakes, and the way back from them to the generator's parameters."""
    latent_key, generator_key, round_key = keys
    latents = game.draw_latents(latent_key, real.samples.shape[0])
    samples, pullback = jax.vjp(
        lambda params: game.generate(params, latents, real.labels, generator_key), params
    )
    fake = Batch(samples, real.labels)
    round = Round(real, fake, latents, round_key, state.step, state.hyperparameters)
    return round, pullback


def _answer(
    game: Game, discriminator: Params, round: Round, pullback: Pullback, report: Report
) -> Params:
    """The generator's gradient by that at its samples; adds to the report."""

    def objective(samples: jax.Array):
        return game.generator_loss(
            discriminator, round._replace(fake=round.fake._replace(samples=samples))
        )

    (loss, extra), at_fakes = jax.value_and_grad(objective, has_aux=True)(round.fake.samples)
    (gradient,) = pullback(at_fakes)
    _report_answer(report, loss, extra, gradient)
    return gradient


def _report_answer(report: Report, loss: jax.Array, extra: Report, gradient: Params) -> None:
    report["extra"] = report["extra"] | extra["extra"]
    report["generator_loss"] = loss
    report["generator_gradient_norm"] = gradient_norm(gradient)


def _metrics(report: Report) -> Metrics:
    finite = jnp.all(jnp.isfinite(jnp.stack(jax.tree.leaves(report))))
    return Metrics(**report, finite=finite)


def _move_both(optimizers: Optimizers, state: GANState, found: Gradients, report: Report) -> Moves:
    return Moves(
        _update(optimizers.generator, state.generator, found.generator),
        _update(optimizers.discriminator, state.discriminator, found.discriminator),
        _metrics(report),
    )


def _update(optimizer: optax.GradientTransformation, player: Player, gradient: Params) -> Player:
    updates, opt_state = optimizer.update(gradient, player.opt_state, player.params)
    return Player(params=optax.apply_updates(player.params, updates), opt_state=opt_state)


def _split_rows(batch: Batch, parts: int) -> Batch:
    """``[parts * b, ...] -> [parts, b, ...]`` for every array of the batch."""
    rows = batch.samples.shape[0]
    if rows % parts:
        raise InputError(
            f"batch: {rows} rows; {parts} discriminator steps need a multiple of {parts}"
        )
    return jax.tree.map(lambda x: x.reshape(parts, rows // parts, *x.shape[1:]), batch)
