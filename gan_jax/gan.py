"""`GAN`: three pure functions, made from their parts by `build`."""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from gan_jax.dynamics import Dynamics, alternating
from gan_jax.errors import InputError
from gan_jax.game import (
    ClusteredLatents,
    Game,
    make_game,
    normal_latents,
)
from gan_jax.losses import AdversarialLoss
from gan_jax.moves import Optimizers
from gan_jax.networks import Network
from gan_jax.penalties import Penalty
from gan_jax.state import GANState, Metrics, Player
from gan_jax.terms import Term
from gan_jax.types import Batch, Key, Labels, Latents, Params, Samples
from gan_jax.views import instance_noise, packed, shifted

__all__ = ["GAN", "build"]


class GAN(NamedTuple):
    """Pure functions over a `GANState`, for the caller to jit, scan, vmap, differentiate.

    ``init`` and ``sample``, which many call outside of all that, are jitted: operation by operation
    they would compile dozens of programs, in twice the time.
    """

    init: Callable[[Key], GANState]
    train_step: Callable[[GANState, Batch], tuple[GANState, Metrics]]
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
    penalty_interval: int = 1,
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
        penalty_interval: penalties are taken at every so many-th step alone, and weigh as many
            times as much there: lazy regularisation, arXiv:1912.04958. So most steps cost less.
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
        InputError: a part of another type, a penalty or term without its weight, a number out of
            range. A shift that the samples do not allow is refused when the step is traced.
    """
    _check_parts(loss, penalties, terms, generator=generator, discriminator=discriminator)
    _check_optimizers(
        generator_optimizer=generator_optimizer, discriminator_optimizer=discriminator_optimizer
    )
    _check_number("average_decay", average_decay, lambda decay: 0.0 <= decay < 1.0, "[0, 1)")
    if noise is not None:
        _check_number("noise", noise[1], lambda horizon: horizon >= 1, "a horizon of at least 1")
    for name, whole in (("pack", pack), ("penalty_interval", penalty_interval)):
        _check_number(name, whole, lambda n: n >= 1 and n % 1 == 0, "a whole number, at least 1")
    weighted, wanted = dict(penalties or {}), dict(terms or {})
    for kind, given in (("penalties", weighted), ("terms", wanted)):
        for name, (_, weight) in given.items():
            _check_number(f"{kind}.{name}", weight, lambda x: 0 <= x < math.inf, "at least 0")
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
        draw_latents=_drawing(draw_latents),
        loss=loss,
        penalties={name: penalty for name, (penalty, _) in weighted.items()},
        terms={name: term for name, (term, _) in wanted.items()},
        views=views,
        penalty_interval=penalty_interval,
    )
    play = (dynamics or alternating())(
        game, Optimizers(generator_optimizer, discriminator_optimizer)
    )

    @jax.jit
    def init(key: Key) -> GANState:
        """The state of step 0, no two leaves of which share a buffer: a caller may donate it."""
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
        # Of types that a step leaves as they are, where a network's own are weak, or the second
        # step would be compiled again. Copies, or leaves would share buffers where jit is disabled.
        return jax.tree.map(lambda leaf: jnp.array(leaf, dtype=leaf.dtype, copy=True), state)

    def train_step(state: GANState, batch: Batch) -> tuple[GANState, Metrics]:
        """One step of both players, and what it saw on the way: the body of a ``lax.scan``.

        Args:
            state: of the step before.
            batch: ``samples [k*b, *sample_shape]`` float32, for k discriminator steps of b rows
                each, and ``labels [k*b]`` int32 where a player or a term is told them, else None.

        Raises:
            InputError: samples that are no floats or that are none, labels that are not one integer
                for each, rows that k does not divide, or labels missing.
        """
        if not isinstance(batch, Batch):
            found = "an array" if isinstance(batch, Tracer) else type(batch).__name__
            raise InputError(f"batch: {found}; Batch(samples, labels) is allowed")
        if isinstance(batch.samples, list | tuple):
            raise InputError(f"samples: {type(batch.samples).__name__}; an array is allowed")
        if not jnp.issubdtype(jnp.result_type(batch.samples), jnp.floating):
            found = jnp.result_type(batch.samples)
            raise InputError(f"samples: {found}; floats are allowed, of images from -1 to 1")
        if not (rows := len(batch.samples)):
            raise InputError("samples: there are none; a row or more is allowed")
        _check_labels(batch.labels, rows)
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
        """What the averaged generator makes of fresh latents, ``[count, *sample_shape]`` float32.

        Args:
            state: of any step.
            key: the same one draws the same samples.
            count: how many; under ``jit`` it has to be static.
            labels: ``[count]`` integers, the class of each; a conditional generator draws those it
                is not given, any other takes no notice.
            chosen: ``[count, categories]``, one-hot: the category of each one's latents, where they
                have categories. Drawn if not given.

        Raises:
            InputError: a count below 1, labels or categories of another shape or type, or
                categories that the latents do not have.
        """
        count = operator.index(count)
        if count < 1:
            raise InputError(f"count: {count} is out of range; at least 1 is allowed")
        _check_labels(labels, count)
        return drawn(state.average, key, count, labels, chosen)

    @functools.partial(jax.jit, static_argnums=2)
    def drawn(
        params: Params, key: Key, count: int, labels: Labels | None, chosen: jax.Array | None
    ) -> Samples:
        latent_key, network_key = jax.random.split(key)
        draw = sample_latents or game.draw_latents
        latents = draw(latent_key, count)
        if chosen is not None:
            latents = _with_category(draw, latents, chosen)
        return game.generate(params, latents, labels, network_key)

    return GAN(init, train_step, sample, game)


def _mix(keep: jax.Array, average: Params, current: Params) -> Params:
    return jax.tree.map(lambda old, new: keep * old + (1.0 - keep) * new, average, current)


def _check_labels(labels: Labels | None, rows: int) -> None:
    """Of another rank they would be broadcast against the logits, and train something else."""
    if labels is None:
        return
    if jnp.shape(labels) != (rows,):
        raise InputError(f"labels: shape {jnp.shape(labels)}; one for each of {rows} is allowed")
    if not jnp.issubdtype(jnp.result_type(labels), jnp.integer):
        raise InputError(f"labels: {jnp.result_type(labels)}; integers are allowed")


def _with_category(draw: Any, latents: Latents, chosen: jax.Array) -> Latents:
    if not isinstance(draw, ClusteredLatents):
        raise InputError("chosen: the latents of this GAN have no categories")
    if jnp.shape(chosen) != (allowed := (len(latents), draw.categories)):
        raise InputError(f"chosen: shape {jnp.shape(chosen)}; one-hot rows {allowed} are allowed")
    return draw.of(latents, chosen)


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
        if not isinstance(given or {}, Mapping):
            raise InputError(
                f"{kind}: {type(given).__name__}; a dictionary is allowed, by name of a tuple of a "
                f"{allowed.__name__} and its weight"
            )
        for name, pair in (given or {}).items():
            if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], allowed)):
                raise InputError(
                    f"{kind}: {name!r} is a {type(pair).__name__}; a tuple of a "
                    f"{allowed.__name__} and its weight is allowed"
                )


def _check_optimizers(**optimizers: Any) -> None:
    for name, optimizer in optimizers.items():
        if not all(callable(getattr(optimizer, part, None)) for part in ("init", "update")):
            raise InputError(
                f"{name}: {type(optimizer).__name__}; an optax transformation is allowed, "
                "such as optax.adam(2e-4)"
            )


def _check_number(name: str, value: Any, fits: Callable[[Any], Any], allowed: str) -> None:
    if isinstance(value, Tracer):
        return
    try:
        good = fits(float(value))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise InputError(f"{name}: {value} is out of range; {allowed} is allowed")


def _drawing(latents: Any) -> Callable[[Key, int], Latents]:
    if callable(latents):
        return latents
    try:
        size = operator.index(latents)
    except TypeError:
        size = 0
    if size < 1:
        raise InputError(
            f"draw_latents: {latents!r}; how many a row, at least 1, is allowed, "
            "or a function (key, count) -> latents"
        )
    return normal_latents(size)
