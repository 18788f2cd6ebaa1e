"""The parts of a step: a round is drawn, the discriminator judges it, the generator answers."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.errors import InputError
from gan_jax.game import Game, Report, Round
from gan_jax.state import GANState, Metrics, Player, gradient_norm
from gan_jax.types import Batch, Key, Params, Samples

__all__ = [
    "Gradients",
    "Moves",
    "Optimizers",
    "Pullback",
    "answer",
    "draw_round",
    "judge_round",
    "metrics_of",
    "move",
    "move_both",
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


Pullback = Callable[[Samples], tuple[Params]]


def draw_round(
    game: Game, state: GANState, params: Params, keys: Key, real: Batch
) -> tuple[Round, Pullback]:
    """One round's fakes, and the way back from them to the generator's parameters.

    Args:
        game: which latents are drawn, and what is made of them.
        state: the step and the hyperparameters.
        params: the generator's.
        keys: ``[3]``, of the latents, the generator and the round.
        real: the round's rows.
    """
    latent_key, generator_key, round_key = keys
    latents = game.draw_latents(latent_key, real.samples.shape[0])
    samples, pullback = jax.vjp(
        lambda params: game.generate(params, latents, real.labels, generator_key), params
    )
    fake = Batch(samples, real.labels)
    if samples.shape != real.samples.shape:
        raise InputError(
            f"generator: its samples have shape {samples.shape[1:]}; real ones, which have "
            f"{real.samples.shape[1:]}, are what it has to match"
        )
    round = Round(real, fake, latents, round_key, state.step, state.hyperparameters)
    return round, pullback


def judge_round(game: Game, params: Params, round: Round) -> tuple[Params, Report]:
    """The discriminator's gradient at its parameters, and its part of the metrics.

    A step that leaves penalties out does not compute them: a third of all products, for R1 and R2.
    """

    def judged(loss: Callable[[Params, Round], tuple[jax.Array, Report]]) -> tuple[Params, Report]:
        return jax.grad(loss, has_aux=True)(params, round)

    if game.unpenalized_loss is None:
        gradient, report = judged(game.discriminator_loss)
    else:
        gradient, report = jax.lax.cond(
            (round.step + 1) % game.penalty_interval == 0,
            functools.partial(judged, game.discriminator_loss),
            functools.partial(judged, game.unpenalized_loss),
        )
    return gradient, report | {"discriminator_gradient_norm": gradient_norm(gradient)}


def answer(
    objective: Callable[[Round], tuple[jax.Array, Report]], round: Round, pullback: Pullback
) -> tuple[Params, Report]:
    """The generator's gradient, by that of its objective at the fakes; its part of the metrics."""

    def at_samples(samples: Samples):
        return objective(round._replace(fake=round.fake._replace(samples=samples)))

    (loss, report), slope = jax.value_and_grad(at_samples, has_aux=True)(round.fake.samples)
    (gradient,) = pullback(slope)
    told = {"generator_loss": loss, "generator_gradient_norm": gradient_norm(gradient)}
    return gradient, report | told


def metrics_of(judged: Report, answered: Report) -> Metrics:
    """Both parts, and whether all of it is finite."""
    report = judged | answered | {"extra": judged["extra"] | answered["extra"]}
    finite = jnp.all(jnp.isfinite(jnp.stack(jax.tree.leaves(report))))
    return Metrics(**report, finite=finite)


def move(optimizer: optax.GradientTransformation, player: Player, gradient: Params) -> Player:
    """The player after one update by its optimiser."""
    updates, opt_state = optimizer.update(gradient, player.opt_state, player.params)
    return Player(params=optax.apply_updates(player.params, updates), opt_state=opt_state)


def move_both(optimizers: Optimizers, state: GANState, found: Gradients) -> tuple[Player, Player]:
    """Generator and discriminator after one update each."""
    return (
        move(optimizers.generator, state.generator, found.generator),
        move(optimizers.discriminator, state.discriminator, found.discriminator),
    )
