"""The game itself: what is generated, what the discriminator is shown, and both objectives.

No optimiser and no order of moves: `dynamics` decides who moves when. Both objectives are means
over the batch of per-example losses, the discriminator's plus its weighted penalties.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gan_jax.errors import InputError
from gan_jax.losses import AdversarialLoss, minimax
from gan_jax.networks import LOUD, Network
from gan_jax.penalties import Penalty
from gan_jax.terms import Term, Told
from gan_jax.types import Batch, Critic, Judgement, Key, Labels, Latents, Logits, Params, Samples

__all__ = [
    "ClusteredLatents",
    "Game",
    "Round",
    "View",
    "make_game",
    "normal_latents",
]

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
    judge: Callable[[Params, Samples, Labels | None, Key], Judgement]
    """What the discriminator says of samples as they are."""
    penalty_interval: int = 1
    unpenalized_loss: Callable[[Params, Round], tuple[jax.Array, Report]] | None = None
    """The discriminator's at all but every ``penalty_interval``-th step; None where that is 1.

    At that step ``discriminator_loss`` is the objective, penalties weighing so many times as much.
    """


View = Callable[[Batch, Round, Key], Batch]  # of rows, as the discriminator is shown them


def normal_latents(size: int, deviation: float = 1.0) -> Callable[[Key, int], Latents]:
    """Normal latents of that standard deviation, ``(key, count) -> [count, size]``."""
    return lambda key, count: deviation * jax.random.normal(key, (count, size), jnp.float32)


@dataclasses.dataclass(frozen=True)
class ClusteredLatents:
    """Such normals beside a random category, ``(key, count) -> [count, size + categories]``.

    The category is a one-hot vector times `LOUD`.

    A connected latent space has to draw bridges between kinds of samples; categories let the
    generator jump (ClusterGAN, arXiv:1809.03627). No label is needed.
    """

    size: int
    categories: int
    deviation: float = 1.0

    def __call__(self, key: Key, count: int) -> Latents:
        """So many rows of them."""
        # One draw for both, turned into normals as jax.random.normal does: every further draw is
        # a dozen small kernels more in the program of a step.
        low = jnp.nextafter(jnp.float32(-1.0), jnp.float32(0.0))
        uniform = jax.random.uniform(key, (count, self.size + 1), jnp.float32, low, 1.0)
        normals = self.deviation * jnp.sqrt(2.0) * jax.lax.erf_inv(uniform[:, : self.size])
        category = ((0.5 * uniform[:, self.size] + 0.5) * self.categories).astype(jnp.int32)
        return self.of(normals, jax.nn.one_hot(category, self.categories, dtype=jnp.float32))

    def of(self, latents: Latents, chosen: jax.Array) -> Latents:
        """The same normals beside another category, one-hot, ``[count, categories]``."""
        return jnp.concatenate([latents[:, : self.size], LOUD * chosen], axis=1)


def make_game(
    *,
    generator: Network,
    discriminator: Network,
    draw_latents: Callable[[Key, int], Latents],
    loss: AdversarialLoss,
    penalties: Mapping[str, Penalty],
    terms: Mapping[str, Term],
    views: Sequence[View] = (),
    penalty_interval: int = 1,
) -> Game:
    """Put the parts together; weights of penalties and terms are hyperparameters of the state.

    What a discriminator is shown, and penalties look at, are the views of both batches in order.
    Penalties that are taken at every n-th step alone weigh n times as much there.
    """

    def shown(round: Round, key: Key) -> Round:
        for index, view in enumerate(views):
            real_key, fake_key = jax.random.split(jax.random.fold_in(key, index))
            round = round._replace(
                real=view(round.real, round, real_key), fake=view(round.fake, round, fake_key)
            )
        return round

    def judge(params: Params, samples: Samples, labels: Labels | None, key: Key) -> Judgement:
        return _judge(discriminator, params, samples, labels, key)

    def one_a_row(player: str, real: Judgement, fake: Judgement) -> jax.Array:
        """What a player loses by each row, or their mean; of other shapes the mean is another."""
        lost = getattr(loss, player)(real.logits, fake.logits)
        if jnp.shape(lost) not in ((), real.logits.shape):
            raise InputError(
                f"loss: the {player}'s has shape {jnp.shape(lost)}; "
                f"one a row is allowed, {real.logits.shape}"
            )
        return lost

    def looked_at(name: str, critic: Critic, place: Any) -> tuple[jax.Array, Judgement | None]:
        """What a penalty finds there; of another form it would penalise something else."""
        found = penalties[name].value(critic, place)
        pair = isinstance(found, tuple) and len(found) == 2
        if not pair or not isinstance(found[1], Judgement | None) or jnp.ndim(found[0]) > 1:
            raise InputError(
                f"penalties: {name!r} returns {jax.tree.map(jnp.shape, found)}; one quantity a row "
                "is allowed, or their mean, beside a Judgement or None"
            )
        return found

    def extras(
        player: str, real: Judgement, fake: Judgement, round: Round, batch: Batch
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """What the terms add to a player's objective, and each by itself."""
        total, values = jnp.zeros(()), {}
        rows, labels = len(batch.samples), batch.labels
        if terms and real.heads and len(real.logits) != rows:
            raise InputError(
                f"pack: terms are of single rows, {rows}; the discriminator is shown "
                f"{len(real.logits)} packs of them"
            )
        for name, term in terms.items():
            want = getattr(term, player)
            if want is not None:
                value = jnp.mean(want(real, fake, Told(labels, round.latents)))
                values[f"{player}_{name}"] = value
                total += term.factor * round.hyperparameters[f"terms.{name}"] * value
        return total, values

    def discriminator_loss(
        params: Params, round: Round, penalties: Mapping[str, Penalty] = penalties
    ) -> tuple[jax.Array, Report]:
        view_key, network_key, penalty_key = jax.random.split(round.key, 3)
        batch = round.real
        round = shown(round, view_key)

        def critic(samples: Samples, labels: Labels | None) -> Judgement:
            return judge(params, samples, labels, network_key)

        looked, quantities, weighted = [], {}, []
        for index, (name, penalty) in enumerate(penalties.items()):
            place = penalty.at(jax.random.fold_in(penalty_key, index), round.real, round.fake)
            value, judgement = looked_at(name, critic, place)
            looked.append((place, judgement))
            quantities[name] = jnp.mean(value)
            gamma = round.hyperparameters[f"penalties.{name}"]
            weighted.append(penalty.factor * gamma * quantities[name])

        def judged(batch: Batch) -> Judgement:
            """What the critic says of it; where a penalty has looked at it, that is known."""
            known = [said for place, said in looked if place is batch and said is not None]
            return known[0] if known else critic(*batch)

        real, fake = judged(round.real), judged(round.fake)
        objective = sum(weighted, jnp.mean(one_a_row("discriminator", real, fake)))
        added, extra = extras("discriminator", real, fake, round, batch)
        objective = objective + added if terms else objective
        report = {
            **_report_logits(loss, real.logits, fake.logits),
            "discriminator_loss": objective,  # as it is over all steps
            "penalties": quantities,
            "extra": extra,
        }
        if penalty_interval > 1:
            objective = sum(((penalty_interval - 1) * more for more in weighted), objective)
        return objective, report

    def unpenalized_loss(params: Params, round: Round) -> tuple[jax.Array, Report]:
        objective, report = discriminator_loss(params, round, {})
        return objective, report | {"penalties": dict.fromkeys(penalties, jnp.zeros(()))}

    def generator_loss(params: Params, round: Round) -> tuple[jax.Array, Report]:
        view_key, network_key, _ = jax.random.split(round.key, 3)  # as the discriminator's
        batch = round.real
        round = shown(round, view_key)
        real = judge(params, *round.real, network_key)
        fake = judge(params, *round.fake, network_key)
        objective = jnp.mean(one_a_row("generator", real, fake))
        added, extra = extras("generator", real, fake, round, batch)
        return objective + added if terms else objective, {"extra": extra}

    sometimes = penalty_interval > 1 and bool(penalties)
    return Game(
        draw_latents,
        generator.apply,
        discriminator_loss,
        generator_loss,
        judge,
        penalty_interval,
        unpenalized_loss if sometimes else None,
    )


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
        # All losses that define D(x) share this discriminator: log D(x) + log(1 - D(G(z))).
        value = -jnp.mean(minimax.discriminator(real_logits, fake_logits))
    return {
        "real_logits": jnp.mean(real_logits),
        "fake_logits": jnp.mean(fake_logits),
        "real_above_fake": jnp.mean(
            (real_logits > fake_logits) + 0.5 * (real_logits == fake_logits), dtype=jnp.float32
        ),
        "real_probability": real_probability,
        "fake_probability": fake_probability,
        "value": value,
    }
