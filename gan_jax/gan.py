"""`GAN`: three pure functions, made from parts (`build`) or from names (`from_config`)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gan_jax.config import Config, GeneratorConfig
from gan_jax.dynamics import (
    Dynamics,
    Optimizers,
    alternating,
    consensus,
    extragradient,
    simultaneous,
    unrolled,
)
from gan_jax.errors import InputError, lookup
from gan_jax.game import (
    Game,
    clustered_latents,
    make_game,
    normal_latents,
    with_category,
)
from gan_jax.losses import LOSSES, AdversarialLoss
from gan_jax.networks import DISCRIMINATORS, GENERATORS, Network
from gan_jax.optimizers import make_optimizer
from gan_jax.penalties import PENALTIES, Penalty
from gan_jax.state import GANState, Metrics, Player
from gan_jax.terms import HEADS_OF, TERMS, Term
from gan_jax.types import Batch, Key, Labels, Latents, Params, Samples
from gan_jax.views import check_shift, instance_noise, packed, shifted

__all__ = ["GAN", "build", "check_names", "from_config"]


class GAN(NamedTuple):
    """Pure functions over a `GANState`. Nothing is jitted: the caller jits, scans, vmaps, grads."""

    init: Callable[[Key], GANState]
    train_step: Callable[[GANState, Batch], tuple[GANState, Metrics]]  # a lax.scan body
    sample: Callable[..., Samples]  # (state, key, count, labels=None, chosen=None); count is static
    game: Game  # for those who bring their own dynamics


def build(
    *,
    generator: Network,
    discriminator: Network,
    loss: AdversarialLoss,
    generator_optimizer: optax.GradientTransformation,
    discriminator_optimizer: optax.GradientTransformation,
    draw_latents: int | Callable[[Key, int], Latents],
    sample_latents: Callable[[Key, int], Latents] | None = None,
    penalties: Mapping[str, tuple[Penalty, float]] | None = None,
    terms: Mapping[str, tuple[Term, float]] | None = None,
    shift: int = 0,
    noise: tuple[float, int] | None = None,
    pack: int = 1,
    dynamics: Dynamics | None = None,
    average_decay: float = 0.0,
) -> GAN:
    """A GAN from its parts.

    Args:
        generator: ``apply(params, latents, labels, key) -> samples [batch, *sample_shape]``.
        discriminator: ``apply(params, samples, labels, key) -> logits [batch]`` or `Judgement`.
        loss: what each player minimises; see `gan_jax.losses`.
        generator_optimizer: any optax transformation.
        discriminator_optimizer: any optax transformation.
        draw_latents: ``(key, count) -> latents``, or n for n standard normals a row.
        sample_latents: what `sample` draws in place of them; the same by default.
        penalties: by name, the penalty and its gamma; see `gan_jax.penalties`.
        terms: by name, what else players want and its weight; see `gan_jax.terms`.
        shift: pixels by which half of the images that the discriminator is shown are moved at most.
        noise: deviation at first, and steps until it is gone, of normal noise on all samples that
            the discriminator is shown.
        pack: how many samples the discriminator is shown together, as further channels.
        dynamics: who moves when; one move each, in turn, by default.
        average_decay: the share of the averaged generator kept at each step, in [0, 1);
            0 samples from the generator as it stands. During the first steps t the share is at
            most (1 + t) / (10 + t), so that the average soon forgets the initial parameters.

    Raises:
        InputError: a loss, penalty or term of another type, or without its weight. A shift that
            the samples do not allow is refused when the step is traced.
    """
    _check_parts(loss, penalties, terms, generator=generator, discriminator=discriminator)
    weighted, wanted = dict(penalties or {}), dict(terms or {})
    hyperparameters = {f"penalties.{name}": gamma for name, (_, gamma) in weighted.items()}
    hyperparameters |= {f"terms.{name}": weight for name, (_, weight) in wanted.items()}
    hyperparameters["average_decay"] = average_decay
    views = [shifted(shift)] if shift else []
    if noise is not None:
        hyperparameters["noise.deviation"], hyperparameters["noise.horizon"] = noise
        views.append(instance_noise)
    if pack > 1:
        views.append(packed(pack))
    game = make_game(
        generator=generator,
        discriminator=discriminator,
        draw_latents=normal_latents(draw_latents)
        if isinstance(draw_latents, int)
        else draw_latents,
        loss=loss,
        penalties={name: penalty for name, (penalty, _) in weighted.items()},
        terms={name: term for name, (term, _) in wanted.items()},
        views=views,
    )
    play = (dynamics or alternating())(
        game, Optimizers(generator_optimizer, discriminator_optimizer)
    )

    def init(key: Key) -> GANState:
        generator_key, discriminator_key, root_key = jax.random.split(key, 3)

        def player(network: Network, optimizer: optax.GradientTransformation, key: Key) -> Player:
            params = network.init(key)
            return Player(params=params, opt_state=optimizer.init(params))

        generator_player = player(generator, generator_optimizer, generator_key)
        state = GANState(
            step=jnp.zeros((), jnp.int32),
            key=root_key,
            generator=generator_player,
            discriminator=player(discriminator, discriminator_optimizer, discriminator_key),
            average=generator_player.params,
            hyperparameters={k: jnp.asarray(v, jnp.float32) for k, v in hyperparameters.items()},
        )
        # A caller that donates the state may not find two leaves on one buffer, nor one that jits
        # the step compile it again for types that the step makes of a network's weak ones.
        return jax.tree.map(lambda leaf: jnp.array(leaf, dtype=leaf.dtype, copy=True), state)

    def train_step(state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        if not isinstance(batch, Batch):
            raise InputError(f"batch: {type(batch).__name__}; Batch(samples, labels) is allowed")
        if not jnp.issubdtype(jnp.result_type(batch.samples), jnp.floating):
            found = jnp.result_type(batch.samples)
            raise InputError(f"samples: {found}; floats are allowed, of images from -1 to 1")
        moves = play(state, batch)
        time = state.step.astype(jnp.float32)
        keep = jnp.minimum(state.hyperparameters["average_decay"], (1.0 + time) / (10.0 + time))
        new_state = GANState(
            step=state.step + 1,
            key=state.key,
            generator=moves.generator,
            discriminator=moves.discriminator,
            average=_mix(keep, state.average, moves.generator.params),
            hyperparameters=state.hyperparameters,
        )
        return new_state, moves.metrics

    def sample(
        state: GANState,
        key: Key,
        count: int,
        labels: Labels | None = None,
        chosen: jax.Array | None = None,  # categories of clustered latents, one-hot
    ) -> Samples:
        latent_key, network_key = jax.random.split(key)
        latents = (sample_latents or game.draw_latents)(latent_key, count)
        if chosen is not None:
            latents = with_category(latents, chosen)
        if labels is not None and jnp.shape(labels) != (count,):
            raise InputError(
                f"labels: shape {jnp.shape(labels)}; one for each of {count} is allowed"
            )
        return game.generate(state.average, latents, labels, network_key)

    return GAN(init, train_step, sample, game)


def _mix(keep: jax.Array, average: Params, current: Params) -> Params:
    return jax.tree.map(lambda old, new: keep * old + (1.0 - keep) * new, average, current)


def _check_parts(loss: Any, penalties: Any, terms: Any, **networks: Any) -> None:
    for name, network in networks.items():
        if not isinstance(network, Network):
            raise InputError(
                f"{name}: {type(network).__name__}; a Network is allowed, "
                "such as from_linen makes of a module"
            )
    if not isinstance(loss, AdversarialLoss):
        raise InputError(
            f"loss: {type(loss).__name__}; an AdversarialLoss is allowed, such as losses.hinge"
        )
    for kind, allowed, given in (("penalties", Penalty, penalties), ("terms", Term, terms)):
        for name, pair in (given or {}).items():
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], allowed)):
                raise InputError(
                    f"{kind}: {name!r} is a {type(pair).__name__}; a tuple of a "
                    f"{allowed.__name__} and its weight is allowed"
                )


def _latents(config: GeneratorConfig, deviation: float = 1.0) -> Callable[[Key, int], Latents]:
    if config.categories:
        return clustered_latents(config.latent_size, config.categories, deviation)
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


def check_names(config: Config) -> None:
    """Refuse a loss, penalty, term or network that no table holds; no data are needed to tell.

    Raises:
        InputError: it says which field.
    """
    lookup("loss", config.loss, LOSSES)
    for name in config.penalties:
        lookup("penalties", name, PENALTIES)
    for name in config.terms:
        lookup("terms", name, TERMS)
    lookup("generator.name", config.generator.name, GENERATORS)
    lookup("discriminator.name", config.discriminator.name, DISCRIMINATORS)


def from_config(config: Config) -> GAN:
    """The GAN that a `Config` names.

    Raises:
        InputError: a value out of its range, or a name that no table holds; it says which field.
    """
    config.validate()
    check_names(config)
    _check_together(config)
    return build(
        generator=GENERATORS[config.generator.name](config),
        discriminator=DISCRIMINATORS[config.discriminator.name](config),
        loss=LOSSES[config.loss],
        generator_optimizer=_optimizer(config, "generator"),
        discriminator_optimizer=_optimizer(config, "discriminator"),
        draw_latents=_latents(config.generator),
        sample_latents=_latents(config.generator, config.generator.temperature),
        penalties={name: (PENALTIES[name], gamma) for name, gamma in config.penalties.items()},
        terms={name: (TERMS[name], weight) for name, weight in config.terms.items()},
        shift=config.discriminator.shift,
        noise=(config.noise.deviation, config.noise.horizon) if config.noise.deviation else None,
        pack=config.discriminator.pack,
        dynamics=_dynamics(config),
        average_decay=config.average_decay,
    )
