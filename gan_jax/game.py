"""The game itself: what is generated, and what each player's objective is.

No optimiser and no order of moves: `dynamics` decides who moves when. Both objectives are means
over the batch of per-example losses, the discriminator's plus its weighted penalties.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import InputError
from gan_jax.losses import AdversarialLoss, minimax
from gan_jax.networks import LOUD, Network
from gan_jax.penalties import Penalty
from gan_jax.types import Batch, Critic, Judgement, Key, Labels, Latents, Logits, Params, Samples

__all__ = ["Game", "Round", "clustered_latents", "make_game", "normal_latents"]

Report = dict[str, Any]  # fields of Metrics that an objective can tell


class Round(NamedTuple):
    """Everything a player could want to know about one move."""

    real: Batch
    fake: Batch  # row by row the same labels as the real ones
    latents: Latents  # what the fake rows were generated from
    key: Key  # for penalties and for networks with randomness
    step: jax.Array  # [] int32
    hyperparameters: dict[str, jax.Array]


class Game(NamedTuple):
    """What is drawn, what is generated, and what each player minimises."""

    draw_latents: Callable[[Key, int], Latents]
    generate: Callable[[Params, Latents, Labels | None, Key], Samples]
    discriminator_loss: Callable[[Params, Round], tuple[jax.Array, Report]]
    generator_loss: Callable[[Params, Round], tuple[jax.Array, Report]]
    """Both take the *discriminator's* parameters; the generator's arrive as ``round.fake``."""


def normal_latents(size: int) -> Callable[[Key, int], Latents]:
    """Standard normal latents, ``(key, count) -> [count, size]``."""
    return lambda key, count: jax.random.normal(key, (count, size), jnp.float32)


def clustered_latents(size: int, categories: int) -> Callable[[Key, int], Latents]:
    """Standard normals beside a random one-hot vector, ``[count, size + categories]``.

    A connected latent space has to draw bridges between kinds of samples; categories let the
    generator jump (ClusterGAN, arXiv:1809.03627). No label is needed.
    """

    def draw(key: Key, count: int) -> Latents:
        # One draw for both, turned into normals as jax.random.normal does: every further draw is
        # a dozen small kernels more in the program of a step.
        low = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))
        uniform = jax.random.uniform(key, (count, size + 1), jnp.float32, low, 1.0)
        normals = jnp.sqrt(2.0) * jax.lax.erf_inv(uniform[:, :size])
        category = ((0.5 * uniform[:, size] + 0.5) * categories).astype(jnp.int32)
        chosen = jax.nn.one_hot(category, categories, dtype=jnp.float32)
        return jnp.concatenate([normals, LOUD * chosen], axis=1)

    return draw


def make_game(
    *,
    generator: Network,
    discriminator: Network,
    draw_latents: Callable[[Key, int], Latents],
    loss: AdversarialLoss,
    penalties: Mapping[str, Penalty],
) -> Game:
    """Put the parts together; the weights of the penalties are hyperparameters of the state."""

    def critic_of(params: Params, key: Key) -> Critic:
        return lambda samples, labels: _judge(discriminator, params, samples, labels, key)

    def discriminator_loss(params: Params, round: Round) -> tuple[jax.Array, Report]:
        network_key, penalty_key = jax.random.split(round.key)
        critic = critic_of(params, network_key)
        real_logits = critic(*round.real).logits
        fake_logits = critic(*round.fake).logits
        objective = jnp.mean(loss.discriminator(real_logits, fake_logits))
        quantities = {}
        for index, (name, penalty) in enumerate(penalties.items()):
            key = jax.random.fold_in(penalty_key, index)
            quantities[name] = jnp.mean(penalty.value(key, critic, round.real, round.fake))
            gamma = round.hyperparameters[f"penalties.{name}"]
            objective += penalty.factor * gamma * quantities[name]
        return objective, {
            **_report_logits(loss, real_logits, fake_logits),
            "penalties": quantities,
            "extra": {},
        }

    def generator_loss(params: Params, round: Round) -> tuple[jax.Array, Report]:
        critic = critic_of(params, round.key)
        real_logits = critic(*round.real).logits
        fake_logits = critic(*round.fake).logits
        return jnp.mean(loss.generator(real_logits, fake_logits)), {"extra": {}}

    return Game(draw_latents, generator.apply, discriminator_loss, generator_loss)


def _judge(
    discriminator: Network, params: Params, samples: Samples, labels: Labels | None, key: Key
) -> Judgement:
    verdict = discriminator.apply(params, samples, labels, key)
    judgement = verdict if isinstance(verdict, Judgement) else Judgement(verdict, {})
    allowed = samples.shape[:1]
    if judgement.logits.shape != allowed:
        raise InputError(
            f"discriminator: its logits have shape {judgement.logits.shape}; "
            f"one logit a row is allowed, {allowed}"
        )
    return judgement


def _report_logits(loss: AdversarialLoss, real_logits: Logits, fake_logits: Logits) -> Report:
    real_probability = fake_probability = value = None
    if loss.probability is not None:
        real_probability = jnp.mean(loss.probability(real_logits))
        fake_probability = jnp.mean(loss.probability(fake_logits))
        # The two losses that define D(x) share this discriminator: log D(x) + log(1 - D(G(z))).
        value = -jnp.mean(minimax.discriminator(real_logits, fake_logits))
    return {
        "real_logits": jnp.mean(real_logits),
        "fake_logits": jnp.mean(fake_logits),
        "real_above_fake": jnp.mean(real_logits > fake_logits, dtype=jnp.float32),
        "real_probability": real_probability,
        "fake_probability": fake_probability,
        "value": value,
    }
