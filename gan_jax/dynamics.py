"""Who moves when: a `Game` and two optimisers become the moves of one step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.errors import InputError
from gan_jax.game import Game, Round
from gan_jax.state import GANState, Metrics, Player
from gan_jax.types import Batch, Key, Params

__all__ = ["Dynamics", "Moves", "Optimizers", "alternating"]


class Optimizers(NamedTuple):
    """One optax transformation for each player."""

    generator: optax.GradientTransformation
    discriminator: optax.GradientTransformation


class Moves(NamedTuple):
    """What a step of the dynamics yields."""

    generator: Player
    discriminator: Player
    metrics: Metrics


Dynamics = Callable[[Game, Optimizers], Callable[[GANState, Batch], Moves]]


def alternating(discriminator_steps: int = 1) -> Dynamics:
    """``discriminator_steps`` moves of the discriminator, then one of the generator.

    A batch holds ``discriminator_steps * b`` rows: each of the discriminator's moves sees the next
    b of them and as many fresh fakes; the generator answers on the last of these latents and rows.
    One pass through the generator then serves both players: the discriminator sees its output,
    and the generator's gradient is the pullback of the discriminator's gradient at that output.
    Algorithm 1 of arXiv:1406.2661.

    Raises:
        InputError: (when traced) the batch does not divide into ``discriminator_steps`` parts.
    """

    def dynamics(game: Game, optimizers: Optimizers) -> Callable[[GANState, Batch], Moves]:
        def move_discriminator(player: Player, round: Round):
            gradient_of = jax.value_and_grad(game.discriminator_loss, has_aux=True)
            (loss, report), gradient = gradient_of(player.params, round)
            report["discriminator_loss"] = loss
            report["discriminator_gradient_norm"] = optax.tree.norm(gradient)
            return _update(optimizers.discriminator, player, gradient), report

        def play(state: GANState, batch: Batch) -> Moves:
            step_key = jax.random.fold_in(state.key, state.step)
            keys = jax.random.split(step_key, (discriminator_steps, 3))

            def draw(keys: Key, real: Batch):
                """One round's fakes, and the way back from them to the generator's parameters."""
                latent_key, generator_key, round_key = keys
                latents = game.draw_latents(latent_key, real.samples.shape[0])
                samples, pullback = jax.vjp(
                    lambda params: game.generate(params, latents, real.labels, generator_key),
                    state.generator.params,
                )
                fake = Batch(samples, real.labels)
                hyper = state.hyperparameters
                return Round(real, fake, latents, round_key, state.step, hyper), pullback

            def earlier_move(player: Player, turn: tuple[Key, Batch]):
                round, _ = draw(*turn)
                player, _ = move_discriminator(player, round)
                return player, None

            parts = _split_rows(batch, discriminator_steps)
            earlier, last = (
                jax.tree.map(lambda x: x[:-1], parts),
                jax.tree.map(lambda x: x[-1], parts),
            )
            discriminator = state.discriminator
            if discriminator_steps > 1:
                discriminator, _ = jax.lax.scan(earlier_move, discriminator, (keys[:-1], earlier))

            round, pullback = draw(keys[-1], last)
            discriminator, report = move_discriminator(discriminator, round)

            def objective(samples: jax.Array):
                fake = Batch(samples, round.fake.labels)
                return game.generator_loss(discriminator.params, round._replace(fake=fake))

            (loss, extra), at_fakes = jax.value_and_grad(objective, has_aux=True)(
                round.fake.samples
            )
            (gradient,) = pullback(at_fakes)
            generator = _update(optimizers.generator, state.generator, gradient)

            report["extra"] = report["extra"] | extra["extra"]
            report["generator_loss"] = loss
            report["generator_gradient_norm"] = optax.tree.norm(gradient)
            finite = jnp.all(jnp.isfinite(jnp.stack(jax.tree.leaves(report))))
            return Moves(generator, discriminator, Metrics(**report, finite=finite))

        return play

    return dynamics


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
