"""A GAN from the names in a `Config`."""

import dataclasses
from collections.abc import Callable

import optax

from gan_jax.config import Config, GeneratorConfig
from gan_jax.dynamics import (
    Dynamics,
    alternating,
    consensus,
    extragradient,
    simultaneous,
    unrolled,
)
from gan_jax.errors import InputError, lookup
from gan_jax.game import ClusteredLatents, normal_latents
from gan_jax.gan import GAN, build
from gan_jax.losses import LOSSES
from gan_jax.networks import DISCRIMINATORS, GENERATORS
from gan_jax.optimizers import make_optimizer
from gan_jax.penalties import PENALTIES
from gan_jax.terms import HEADS_OF, TERMS
from gan_jax.types import Key, Latents
from gan_jax.views import check_shift

__all__ = ["from_config"]


def from_config(config: Config) -> GAN:
    """The GAN that a `Config` names.

    Raises:
        InputError: a value out of its range, or a name that no table holds; it says which field.
    """
    if not isinstance(config, Config):
        found = type(config).__name__
        raise InputError(f"config: {found}; a Config is allowed, such as recipe('gan') gives")
    config.validate()
    loss = lookup("loss", config.loss, LOSSES)
    penalties = {name: lookup("penalties", name, PENALTIES) for name in config.penalties}
    terms = {name: lookup("terms", name, TERMS) for name in config.terms}
    generator = lookup("generator.name", config.generator.name, GENERATORS)
    discriminator = lookup("discriminator.name", config.discriminator.name, DISCRIMINATORS)
    _check_together(config)
    return build(
        generator=generator(config),
        discriminator=discriminator(config),
        loss=loss,
        generator_optimizer=_optimizer(config, "generator"),
        discriminator_optimizer=_optimizer(config, "discriminator"),
        draw_latents=_latents(config.generator),
        sample_latents=_latents(config.generator, config.generator.temperature),
        penalties={name: (penalties[name], gamma) for name, gamma in config.penalties.items()},
        penalty_interval=config.penalty_interval,
        terms={name: (terms[name], weight) for name, weight in config.terms.items()},
        shift=config.discriminator.shift,
        noise=(config.noise.deviation, config.noise.horizon) if config.noise.deviation else None,
        pack=config.discriminator.pack,
        dynamics=_dynamics(config),
        average_decay=config.average_decay,
    )


def _latents(config: GeneratorConfig, deviation: float = 1.0) -> Callable[[Key, int], Latents]:
    if config.categories:
        return ClusteredLatents(config.latent_size, config.categories, deviation)
    return normal_latents(config.latent_size, deviation)


def _dynamics(config: Config) -> Dynamics:
    chosen = config.dynamics
    make = lookup(
        "dynamics.name",
        chosen.name,
        {
            "alternating": lambda: alternating(config.discriminator_steps, config.generator_steps),
            "simultaneous": simultaneous,
            "extragradient": extragradient,
            "consensus": lambda: consensus(chosen.consensus),
            "unrolled": lambda: unrolled(chosen.unroll, config.discriminator_steps),
        },
    )
    for field, several in (
        ("discriminator_steps", ("alternating", "unrolled")),
        ("generator_steps", ("alternating",)),
    ):
        if getattr(config, field) > 1 and chosen.name not in several:
            raise InputError(
                f"{field}: {getattr(config, field)} is out of range; "
                f"with {chosen.name} dynamics 1 is allowed"
            )
    return make()


def _optimizer(config: Config, player: str) -> optax.GradientTransformation:
    """A player's optimiser; its decay counts the player's moves, the config's counts steps."""
    moves = getattr(config, f"{player}_steps")
    horizon = min(moves * config.decay.horizon, 2**31 - 1)  # what a counter of moves can hold
    decay = dataclasses.replace(config.decay, horizon=horizon)
    return make_optimizer(player, getattr(config, f"{player}_optimizer"), decay)


def _check_together(config: Config) -> None:
    """Refuse what is fine by itself, but together would train something else than it says."""
    discriminator, terms = config.discriminator, config.terms
    for name in terms:
        head = HEADS_OF.get(name, discriminator.head)
        if head != discriminator.head:
            raise InputError(
                f"terms.{name}: needs discriminator.head {head}; it is {discriminator.head}"
            )
        cross_entropy = LOSSES[config.loss].probability is not None
        if name in ("smoothing", "fake_smoothing") and not cross_entropy:
            allowed = ", ".join(n for n, other in LOSSES.items() if other.probability is not None)
            raise InputError(
                f"terms.{name}: is of losses that define D(x), {allowed}; the loss is {config.loss}"
            )
    trained = {head: name for name, head in HEADS_OF.items()}.get(discriminator.head)
    if trained is not None and trained not in terms:
        raise InputError(
            f"discriminator.head: nothing trains {discriminator.head}; give terms.{trained} too"
        )
    conditional = config.generator.condition != "none"
    if "classes" in terms and not conditional:
        raise InputError("terms.classes: needs generator.condition; it is none")
    if conditional and discriminator.condition == "none" and "classes" not in terms:
        raise InputError(
            "generator.condition: nothing holds the generator to its labels; give "
            "discriminator.condition, or discriminator.head classes and terms.classes"
        )
    if discriminator.shift:
        check_shift(discriminator.shift, config.sample_shape)
    if config.batch_size % discriminator.pack:
        raise InputError(
            f"batch_size: {config.batch_size} rows do not divide into packs of {discriminator.pack}"
        )
