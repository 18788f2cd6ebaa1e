"""`GAN`: the protocol every combination keeps, and what a step reports."""

import dataclasses
import math
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import (
    assert_close,
    assert_same_bits,
    dirac,
    linear,
    plain,
    random_batch,
    tiny_config,
    tiny_gan,
)
from test_combinations import ALIKE

from gan_jax import fitting
from gan_jax.assembly import from_config
from gan_jax.config import (
    DecayConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    OptimizerConfig,
)
from gan_jax.errors import InputError
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES
from gan_jax.recipes import recipe
from gan_jax.state import Player
from gan_jax.terms import TERMS
from gan_jax.types import Batch, Judgement


@pytest.mark.parametrize("penalties", [[], list(PENALTIES)], ids=["no penalty", "all penalties"])
@pytest.mark.parametrize("loss", ["minimax", "relativistic"])  # test_combinations: the rest
def test_protocol(loss, penalties, key):
    gan = tiny_gan(loss=loss, penalties=dict.fromkeys(penalties, 1.0))
    state, metrics = gan.init(key), None
    step = jax.jit(gan.train_step)
    for seed in range(3):
        state, metrics = step(state, random_batch(seed))
    assert metrics is not None and metrics.finite and state.step == 3
    assert all(np.isfinite(leaf).all() for leaf in plain(state.generator))
    samples = gan.sample(state, key, 5)
    assert samples.shape == (5, 2) and np.isfinite(samples).all()
    assert sorted(metrics.penalties) == sorted(penalties)


def moved(before: Player, after: Player) -> float:
    """How far the parameter went that went farthest."""
    pairs = zip(jax.tree.leaves(before.params), jax.tree.leaves(after.params), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


@pytest.mark.parametrize(  # test_combinations has the rest
    "name",
    [
        "gan",
        "dcgan",
        "concept",
        *(pytest.param(name, marks=pytest.mark.long) for name in sorted(ALIKE - {"concept"})),
    ],
)
def test_recipes_learn_images(name, key):
    """Three steps of each, of small images, a few rows and narrow networks: both players move."""
    config = dataclasses.replace(recipe(name), batch_size=4, sample_shape=(8, 8, 1))
    narrow = {
        player: dataclasses.replace(
            getattr(config, player), widths=tuple(8 for _ in getattr(config, player).widths)
        )
        for player in ("generator", "discriminator")
    }
    gan = from_config(dataclasses.replace(config, **narrow))
    rows = 4 * config.discriminator_steps
    draw = np.random.default_rng(0)
    batches = Batch(
        jnp.asarray(np.clip(draw.normal(0, 0.5, (3, rows, 8, 8, 1)), -1, 1), jnp.float32),
        jnp.asarray(draw.integers(0, 10, (3, rows))) if config.classes else None,
    )
    program = jax.jit(lambda s: jax.lax.scan(gan.train_step, s, batches))
    state = jax.jit(gan.init)(key)
    after, metrics = program(state)
    assert metrics.finite.all()
    for player in ("generator", "discriminator"):
        assert moved(getattr(state, player), getattr(after, player)) > 0
    images = jax.jit(gan.sample, static_argnums=2)(after, key, 3)
    assert images.shape == (3, 8, 8, 1) and np.abs(images).max() <= 1.0


@pytest.mark.parametrize(("discriminator_steps", "generator_steps"), [(5, 1), (1, 3)])
def test_rates_decay_by_steps_however_many_moves_a_step_has(
    discriminator_steps, generator_steps, key
):
    gan = tiny_gan(
        discriminator_steps=discriminator_steps,
        generator_steps=generator_steps,
        decay=DecayConfig(shape="linear", horizon=4),
    )
    step, state = jax.jit(gan.train_step), gan.init(key)
    for number in range(6):
        after, _ = step(state, random_batch(number, 8 * discriminator_steps))
        for player in ("generator", "discriminator"):
            far = moved(getattr(state, player), getattr(after, player))
            assert (far > 0) == (number < 4), (player, number)
        state = after


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": lambda real, fake: real}, "loss: function; an AdversarialLoss is allowed"),
        ({"loss": "hinge"}, "loss: str; an AdversarialLoss is allowed"),
        ({"penalties": {"r1": PENALTIES["r1"]}}, "penalties: 'r1' is a Penalty; a tuple of a Pen"),
        ({"penalties": {"r1": 1.0}}, "penalties: 'r1' is a float; a tuple of a Penalty and its"),
        ({"terms": {"mine": (lambda: 0, 1.0)}}, "terms: 'mine' is a tuple; a tuple of a Term and"),
        ({"discriminator": len}, "discriminator: builtin_function_or_method; a Network is allowed"),
        ({"penalties": [PENALTIES["r1"]]}, "penalties: list; a dictionary is allowed, by name of"),
        ({"generator_optimizer": "adam"}, "generator_optimizer: str; an optax transformation is"),
        ({"discriminator_optimizer": 1e-3}, "discriminator_optimizer: float; an optax transf"),
        ({"draw_latents": 16.0}, "draw_latents: 16.0; how many a row, at least 1, is allowed"),
        ({"draw_latents": 0}, "draw_latents: 0; how many a row, at least 1, is allowed"),
        ({"noise": (0.1, 0)}, "noise: 0 is out of range; a horizon of at least 1 is allowed"),
        ({"pack": 0}, "pack: 0 is out of range; a whole number, at least 1 is allowed"),
        (
            {"penalties": {"r1": (PENALTIES["r1"], "much")}},
            "penalties.r1: much is out of range; at",
        ),
        ({"penalties": {"r1": (PENALTIES["r1"], -1.0)}}, "penalties.r1: -1.0 is out of range; at"),
        (
            {"terms": {"x": (TERMS["smoothing"], math.nan)}},
            "terms.x: nan is out of range; at least",
        ),
        ({"average_decay": None}, r"average_decay: None is out of range; \[0, 1\) is allowed"),
    ],
)
def test_parts_of_another_type_are_named(changes, message, key):
    network = Network(lambda key: jnp.zeros(()), lambda p, x, labels, key: x[:, 0] + p)
    parts = {
        "generator": network,
        "discriminator": network,
        "loss": LOSSES["hinge"],
        "generator_optimizer": optax.sgd(0.1),
        "discriminator_optimizer": optax.sgd(0.1),
        "draw_latents": 1,
    }
    with pytest.raises(InputError, match=message):
        build(**parts | changes)
    build(**parts | {"draw_latents": np.int64(3), "noise": (0.1, 1), "pack": np.int64(2)})


def test_a_batch_is_a_batch(key):
    gan = tiny_gan()
    state, rows = gan.init(key), jnp.zeros((8, 2))
    with pytest.raises(InputError, match=r"batch: .*; Batch\(samples, labels\) is allowed"):
        gan.train_step(state, rows)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"batch: an array; Batch\(samples, labels\) is allowed"):
        jax.jit(gan.train_step)(state, rows)
    with pytest.raises(InputError, match="samples: list; an array is allowed"):
        jax.jit(gan.train_step)(state, Batch(rows.tolist()))  # pyright: ignore[reportArgumentType]


def test_fakes_have_the_shape_of_real_rows(key):
    """Or a discriminator of flat layers would see the one and the other by other weights."""
    gan = tiny_gan()
    for shape in ((8, 3), (8, 2, 1), (8,)):
        message = f"generator: its samples have shape (2,); real ones, which have {shape[1:]}"
        with pytest.raises(InputError, match=re.escape(message)):
            gan.train_step(gan.init(key), Batch(jnp.zeros(shape)))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
@pytest.mark.parametrize(
    ("lost", "shape"),
    [
        (lambda real, fake: (real - fake)[:, None], r"\(8, 1\)"),
        (lambda real, fake: real[:, None] - fake[None], r"\(8, 8\)"),  # the field's classic slip
    ],
    ids=["column", "every pair"],
)
def test_a_loss_is_one_a_row(player, lost, shape, key):
    gan = linear(loss=LOSSES["hinge"]._replace(**{player: lost}))
    with pytest.raises(InputError, match=rf"loss: the {player}'s has shape {shape}; one a row"):
        gan.train_step(gan.init(key), random_batch(0))


def test_optimisers_of_any_type_and_constant_losses_are_fine(key):
    gan = linear(
        loss=LOSSES["hinge"]._replace(generator=lambda real, fake: 0.0),  # pyright: ignore
        generator_optimizer=optax.MultiSteps(optax.sgd(0.1), 2),
    )
    after, metrics = gan.train_step(gan.init(key), random_batch(0))
    assert metrics.generator_loss == 0 and (after.generator.params == 0).all()


def test_bytes_are_no_samples(key):
    """Rows of 0 to 255 against fakes in [-1, 1] would be told apart at once."""
    gan = from_config(recipe("concept"))
    batch = Batch(jnp.zeros((4, 28, 28, 1), jnp.uint8), None)
    with pytest.raises(InputError, match="samples: uint8; floats are allowed"):
        jax.eval_shape(gan.train_step, jax.eval_shape(gan.init, key), batch)


def test_there_is_a_label_for_each_sample(key):
    gan = tiny_gan()
    state = gan.init(key)
    with pytest.raises(InputError, match=r"labels: shape \(2,\); one for each of 3"):
        gan.sample(state, key, 3, labels=jnp.zeros(2, jnp.int32))
    with pytest.raises(InputError, match="labels: float32; integers are allowed"):
        gan.sample(state, key, 3, labels=jnp.zeros(3))
    samples = random_batch(0).samples
    for labels, message in (
        (jnp.zeros((8, 1), jnp.int32), r"shape \(8, 1\); one for each of 8"),  # as Keras has them
        (jnp.zeros(8), "float32; integers are allowed"),
    ):
        with pytest.raises(InputError, match=f"labels: {message}"):
            gan.train_step(state, Batch(samples, labels))


@pytest.mark.parametrize("decay", [1.0, 1.5, -0.1, np.float32(1.0), np.int64(1)])
def test_an_average_forgets_something(decay):
    with pytest.raises(InputError, match=rf"average_decay: {decay} is out of range; \[0, 1\)"):
        build(
            generator=Network(lambda key: {}, lambda params, z, labels, key: z),
            discriminator=Network(lambda key: {}, lambda params, x, labels, key: x[:, 0]),
            loss=LOSSES["hinge"],
            generator_optimizer=optax.sgd(0.1),
            discriminator_optimizer=optax.sgd(0.1),
            draw_latents=1,
            average_decay=decay,
        )


def test_nothing_is_no_batch(key):
    gan = tiny_gan()
    state = gan.init(key)
    with pytest.raises(InputError, match="samples: there are none"):
        gan.train_step(state, Batch(jnp.zeros((0, 2))))
    with pytest.raises(InputError, match="count: -1 is out of range"):
        gan.sample(state, key, -1)


def test_only_categories_that_there_are_can_be_chosen(key):
    clustered = GeneratorConfig(latent_size=3, categories=4, widths=(8,))
    for gan, chosen, message in (
        (tiny_gan(), jnp.eye(3, 4), "the latents of this GAN have no categories"),
        (tiny_gan(generator=clustered), jnp.eye(3), r"shape \(3, 3\); one-hot rows \(3, 4\)"),
        (tiny_gan(generator=clustered), jnp.arange(3), r"shape \(3,\); one-hot rows \(3, 4\)"),
    ):
        with pytest.raises(InputError, match=f"chosen: {message}"):
            gan.sample(gan.init(key), key, 3, chosen=chosen)


def test_a_far_horizon_is_no_overflow(key):
    """Moves are counted in 32 bits: five a step of 10⁹ steps are more than those hold."""
    gan = from_config(
        tiny_config(decay=DecayConfig(shape="linear", horizon=10**9), discriminator_steps=5)
    )
    batch = Batch(jax.random.normal(key, (20, 2)), None)
    jax.eval_shape(gan.train_step, jax.eval_shape(gan.init, key), batch)


# The last one's networks begin with numbers of weak types, as a user's may.
GANS = [
    (tiny_gan(), 8, (2,)),
    (tiny_gan(discriminator_steps=2), 16, (2,)),
    (dirac(optimizer=optax.adam), 8, (1,)),
]


@pytest.mark.parametrize(("gan", "rows", "shape"), GANS)
def test_step_is_a_fixed_point_of_the_state_type(gan, rows, shape, key):
    state = gan.init(key)
    after, _ = jax.jit(gan.train_step)(state, random_batch(0, rows, shape))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True):
        assert a.aval == b.aval  # shape, dtype and weak type


@pytest.mark.parametrize(("gan", "rows", "shape"), GANS)
def test_later_calls_do_not_recompile(gan, rows, shape, key):
    step = jax.jit(gan.train_step)
    state, _ = step(gan.init(key), random_batch(0, rows, shape))
    state, _ = step(state, random_batch(1, rows, shape))
    step(state, random_batch(2, rows, shape))
    assert step._cache_size() == 1  # type: ignore


def test_init_may_be_donated(key):
    gan = tiny_gan()
    state = gan.init(key)
    buffers = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(state) if leaf.ndim]
    assert len(set(buffers)) == len(buffers)
    step = jax.jit(gan.train_step, donate_argnums=0)
    for seed in range(3):
        state, _ = step(state, random_batch(seed))
    assert not key.is_deleted()  # the argument is still alive


def test_init_and_sample_are_a_program_each(key):
    """Outside of a caller's jit too, where every operation would be compiled by itself."""
    gan = tiny_gan()
    state = gan.init(key)
    for whole in (jax.make_jaxpr(gan.init)(key), jax.make_jaxpr(gan.sample, 2)(state, key, 3)):
        (only,) = whole.eqns
        assert only.primitive.name in ("jit", "pjit")


def test_a_count_is_any_integer(key):
    gan = tiny_gan()
    state = gan.init(key)
    expected = gan.sample(state, key, 3)
    for count in (np.int64(3), jnp.int32(3)):
        assert_same_bits(gan.sample(state, key, count), expected)


def test_gans_of_traced_parts(key):
    """Made under a vmap, with an average and a penalty of its own for each."""

    def samples(decay, gamma):
        gan = dirac(average_decay=decay, penalties={"r1": gamma}, start=1.0)
        state = gan.init(key)
        for seed in range(2):
            state, _ = gan.train_step(state, random_batch(seed, shape=(1,)))
        return gan.sample(state, key, 3)

    pairs = [(0.0, 1.0), (0.9, 1.0), (0.9, 3.0)]
    found = jax.jit(jax.vmap(samples))(*map(jnp.array, zip(*pairs, strict=True)))
    assert_close(found, jnp.stack([samples(*pair) for pair in pairs]))
    assert len(np.unique(found)) == 3


def test_metrics_against_their_definitions(key):
    config = tiny_config(loss="non_saturating", penalties={"r1": 3.0})
    gan = from_config(config)
    state, batch = gan.init(key), random_batch(0)
    after, metrics = gan.train_step(state, batch)

    ((latent_key, generator_key, _),) = jax.random.split(jax.random.fold_in(state.key, 0), (1, 3))
    latents = gan.game.draw_latents(latent_key, 8)
    fake = gan.game.generate(state.generator.params, latents, None, generator_key)
    body = state.discriminator.params["body"]

    def logits(x):
        h = (
            np.asarray(x) @ np.asarray(body["Dense_0"]["kernel"])
            + np.asarray(body["Dense_0"]["bias"])[None]
        )
        h = np.where(h > 0, h, 0.1 * h)
        return (h @ np.asarray(body["Dense_1"]["kernel"]))[:, 0] + np.asarray(
            body["Dense_1"]["bias"]
        )

    r, f = logits(batch.samples), logits(fake)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    value = np.mean(np.log(sigmoid(r)) + np.log(1 - sigmoid(f)))
    expected = {
        "real_logits": r.mean(),
        "fake_logits": f.mean(),
        "real_above_fake": (r > f).mean(),
        "real_probability": sigmoid(r).mean(),
        "fake_probability": sigmoid(f).mean(),
        "value": value,
        "discriminator_loss": -value + 1.5 * metrics.penalties["r1"],
    }
    for name, number in expected.items():
        np.testing.assert_allclose(getattr(metrics, name), number, rtol=1e-4)

    def gradient_norm(loss, player):
        gradient = jax.grad(lambda params: loss(params).mean())(player.params)
        return math.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))

    def judged(params, samples):
        return gan.game.judge(params, samples, None, key).logits

    def slope(params, sample):
        return jax.grad(lambda x: judged(params, x[None])[0])(sample)

    def of_discriminator(params):
        squares = jax.vmap(lambda x: (slope(params, x) ** 2).sum())(batch.samples)
        losses = jax.nn.softplus(-judged(params, batch.samples))
        return losses + jax.nn.softplus(judged(params, fake)) + 1.5 * squares

    def of_generator(params):  # against the discriminator that has moved
        fake = gan.game.generate(params, latents, None, generator_key)
        return jax.nn.softplus(-judged(after.discriminator.params, fake))

    norms = {
        "discriminator_gradient_norm": gradient_norm(of_discriminator, state.discriminator),
        "generator_gradient_norm": gradient_norm(of_generator, state.generator),
    }
    for name, number in norms.items():
        np.testing.assert_allclose(getattr(metrics, name), number, rtol=1e-4)
    names = set(metrics.flatten())
    assert names == {
        *expected,
        *norms,
        "penalties.r1",
        "generator_loss",
        "finite",
    }


@pytest.mark.parametrize("loss", ["least_squares", "hinge", "wasserstein", "relativistic"])
def test_no_probability_where_the_loss_defines_none(loss, key):
    gan = tiny_gan(loss=loss)
    _, metrics = gan.train_step(gan.init(key), random_batch(0))
    assert metrics.real_probability is metrics.fake_probability is metrics.value is None
    assert "value" not in metrics.flatten()


def test_metrics_of_one_who_is_wrong_beyond_doubt(key):
    """Where D(x) rounds to 0 and D(G(z)) to 1, V is what the logits say and not log 0."""
    gan = build(
        generator=Network(lambda key: jnp.ones(1), lambda p, z, labels, key: 0.0 * z + p[None]),
        discriminator=Network(
            lambda key: jnp.full(1, 1e4), lambda p, x, labels, key: (x * p[None])[:, 0]
        ),
        loss=LOSSES["non_saturating"],
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=1,
    )
    _, metrics = gan.train_step(gan.init(key), Batch(-jnp.ones((4, 1))))
    assert metrics.finite and (metrics.real_probability, metrics.fake_probability) == (0.0, 1.0)
    assert metrics.value == -2e4


def test_equilibrium_is_where_the_theory_says(key):
    # A blind discriminator: D(x) = 1/2, V = -log 4, and nothing told apart by more than chance.
    gan = build(
        generator=Network(lambda key: jnp.zeros(2), lambda p, z, labels, key: z + p[None]),
        discriminator=Network(lambda key: jnp.zeros(2), lambda p, x, labels, key: x @ p),
        loss=LOSSES["minimax"],
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=2,
    )
    _, metrics = gan.train_step(gan.init(key), random_batch(0))
    assert metrics.value == pytest.approx(-np.log(4))
    assert metrics.real_probability == pytest.approx(0.5)
    assert metrics.real_above_fake == 0.5
    assert metrics.discriminator_loss == pytest.approx(2 * np.log(2))


@pytest.mark.parametrize("where", ["generator's loss", "generator's gradient"])
def test_finite_is_of_both_players_and_their_gradients(where):
    loss = LOSSES["non_saturating"]
    strange = {
        "generator's loss": lambda real, fake: jnp.full_like(fake, jnp.inf),
        "generator's gradient": lambda real, fake: jnp.sqrt(0.0 * fake),  # 0, of slope 0/0
    }
    for generator_loss, finite in ((loss.generator, True), (strange[where], False)):
        gan = build(
            generator=Network(lambda key: jnp.zeros(2), lambda p, z, labels, key: z + p[None]),
            discriminator=Network(lambda key: jnp.ones(2), lambda p, x, labels, key: x @ p),
            loss=loss._replace(generator=generator_loss),
            generator_optimizer=optax.sgd(0.1),
            discriminator_optimizer=optax.sgd(0.1),
            draw_latents=2,
        )
        metrics = gan.train_step(gan.init(jax.random.key(0)), random_batch(0))[1]
        assert metrics.finite == finite and np.isfinite(metrics.discriminator_loss)
        assert np.isfinite(metrics.generator_loss) == (finite or where != "generator's loss")


@pytest.mark.parametrize("shape", ["constant", "linear", "cosine"])
def test_where_to_stop_is_no_part_of_the_game(shape, key):
    """Nor when to look, nor where the data lie: the same program, whatever a config says of it.

    Runs that differ in no more share their programs in these tests (conftest.py).
    """
    decay = DecayConfig(shape=shape, horizon=1_000)

    def program(**changes) -> str:
        gan = tiny_gan(decay=decay, average_decay=0.9, **changes)
        state = jax.eval_shape(gan.init, key)
        batch = jax.tree.map(jax.typeof, random_batch(0))
        init, step = jax.make_jaxpr(gan.init)(key), jax.make_jaxpr(gan.train_step)(state, batch)
        return f"{init} {step}"

    free = {f"{look}_interval": 7 for look in ("log", "picture", "checkpoint", "evaluation")}
    free |= {"best_by": "recall", "stop_when": "collapsed", "recipe": "concept", "steps": 100_000}
    free |= {"dataset": "grid", "data_dir": "elsewhere"}
    assert set(free) == set(fitting._FREE)
    assert program(steps=10) == program(**free)
    assert program(steps=10) != program(steps=10, discriminator_optimizer=OptimizerConfig(b1=0.5))


@pytest.mark.parametrize("where", ["data", "penalty weight"])
def test_finite_notices(where, key):
    gan = tiny_gan()
    state, batch = gan.init(key), random_batch(0)
    assert gan.train_step(state, batch)[1].finite
    if where == "data":
        batch = Batch(batch.samples.at[3, 1].set(jnp.nan))
    else:
        weights = state.hyperparameters | {"penalties.r1": jnp.asarray(jnp.inf)}
        state = dataclasses.replace(state, hyperparameters=weights)
    assert not gan.train_step(state, batch)[1].finite


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_average_forgets_as_it_says(decay, key):
    gan = tiny_gan(average_decay=decay)
    state = gan.init(key)
    average, train_step = plain(state.average), jax.jit(gan.train_step)
    for step in range(20):
        state, _ = train_step(state, random_batch(step))
        keep = min(decay, (1 + step) / (10 + step))
        average = [
            keep * old + (1 - keep) * new
            for old, new in zip(average, plain(state.generator.params), strict=True)
        ]
    for found, expected in zip(plain(state.average), average, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_without_average_the_generator_itself_samples(key):
    gan = tiny_gan(average_decay=0.0)
    state, _ = gan.train_step(gan.init(key), random_batch(0))
    assert_close(state.average, state.generator.params, rtol=0, atol=0)


def test_hyperparameters_are_leaves_of_the_state(key):
    gan = tiny_gan(penalties={"r1": 2.0})
    state = gan.init(key)
    assert {k: float(v) for k, v in state.hyperparameters.items()} == {
        "penalties.r1": 2.0,
        "average_decay": pytest.approx(tiny_config().average_decay),
    }
    weights = state.hyperparameters | {"penalties.r1": jnp.float32(4.0)}
    louder = dataclasses.replace(state, hyperparameters=weights)
    quiet, loud = (gan.train_step(s, random_batch(0))[1] for s in (state, louder))
    gained = loud.discriminator_loss - quiet.discriminator_loss
    np.testing.assert_allclose(gained, quiet.penalties["r1"], rtol=1e-3)


@pytest.mark.parametrize("shape", ["constant", "cosine"])
def test_learning_rate_in_the_state_is_the_peak(shape, key):
    rate = OptimizerConfig(name="sgd", learning_rate=0.1)
    config = tiny_config(generator_optimizer=rate, discriminator_optimizer=rate)
    config = dataclasses.replace(
        config, decay=dataclasses.replace(config.decay, shape=shape, horizon=4)
    )
    gan = from_config(config)
    state = gan.init(key)
    moved, train_step = [], jax.jit(gan.train_step)
    for step in range(5):
        before = plain(state.generator.params)
        state, metrics = train_step(state, random_batch(step))
        gradient_norm = metrics.generator_gradient_norm
        change = np.sqrt(
            sum(
                np.sum((a - b) ** 2)
                for a, b in zip(plain(state.generator.params), before, strict=True)
            )
        )
        moved.append(change / gradient_norm)
        peak = optax.tree.get(state.generator.opt_state, "learning_rate")
        assert peak == np.float32(0.1)
    factors = {"constant": np.ones(5), "cosine": (1 + np.cos(np.pi * np.arange(5) / 4)) / 2}
    np.testing.assert_allclose(moved, 0.1 * factors[shape], rtol=1e-3, atol=1e-6)


def test_steps_differ_by_key_and_step_alone(key):
    gan = tiny_gan()
    state, batch = gan.init(key), random_batch(0)
    once, again = (gan.train_step(state, batch)[1] for _ in range(2))
    later = gan.train_step(dataclasses.replace(state, step=state.step + 1), batch)[1]
    other = gan.train_step(dataclasses.replace(state, key=jax.random.key(5)), batch)[1]
    assert once.fake_logits == again.fake_logits
    assert once.fake_logits != later.fake_logits != other.fake_logits


@pytest.mark.parametrize(
    "output",
    [
        lambda x: x[:, :1],
        lambda x: jnp.sum(x),
        lambda x: Judgement(x[:, :1], {}),
    ],
    ids=["column", "scalar", "judgement column"],
)
def test_logits_must_have_rank_one(output, key):
    judge = Network(lambda key: jnp.zeros(2), lambda p, x, labels, key: output(x))
    gan = linear(discriminator=judge)
    with pytest.raises(InputError, match=r"logits have shape .*; one logit a row is allowed"):
        gan.train_step(gan.init(key), random_batch(0))


def test_labels_reach_both_players(key):
    seen = {}

    def generate(params, latents, labels, key):
        seen["generator"] = labels
        return latents + params[None]

    def judge(params, samples, labels, key):
        seen.setdefault("discriminator", []).append(labels)
        return samples @ params

    gan = linear(
        generator=Network(lambda key: jnp.zeros(2), generate),
        discriminator=Network(lambda key: jnp.ones(2), judge),
    )
    labels = jnp.arange(8)
    gan.train_step(gan.init(key), Batch(random_batch(0).samples, labels))
    assert (seen["generator"] == labels).all()
    assert all((each == labels).all() for each in seen["discriminator"])
    with jax.disable_jit():
        gan.sample(gan.init(key), key, 3, jnp.array([7, 8, 9]))
    assert (seen["generator"] == jnp.array([7, 8, 9])).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hing"}, "loss: 'hing' is not one of .*; did you mean 'hinge'?"),
        ({"penalties": {"r3": 1.0}}, "penalties: 'r3' is not one of r1, r2, wgan_gp, "),
        (
            {"generator_optimizer": OptimizerConfig(name="adamm")},
            "generator_optimizer.name: 'adamm' is not one of",
        ),
        ({"batch_size": 0}, "batch_size: 0 is out of range"),
    ],
)
def test_from_config_names_what_is_wrong(changes, message):
    with pytest.raises(InputError, match=message):
        tiny_gan(**changes)


def test_names_and_configs_are_not_mixed_up():
    with pytest.raises(InputError, match="config: str; a Config is allowed"):
        from_config("gan")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="None is not one of gan, concept, "):
        recipe(None)  # pyright: ignore[reportArgumentType]


def test_concept_is_the_tutorial(key):
    # 784-128-1 against 100-128-784, PyTorch's initial values, Adam 0.01 with its defaults.
    config = recipe("concept")
    gan = from_config(config)
    shapes = jax.tree.map(lambda x: x.shape, jax.eval_shape(gan.init, key))
    assert shapes.generator.params["body"] == {
        "Dense_0": {"kernel": (100, 128), "bias": (128,)},
        "Dense_1": {"kernel": (128, 784), "bias": (784,)},
    }
    assert shapes.discriminator.params["body"] == {
        "Dense_0": {"kernel": (784, 128), "bias": (128,)},
        "Dense_1": {"kernel": (128, 1), "bias": (1,)},
    }
    adam = OptimizerConfig(name="adam", learning_rate=0.01, b1=0.9, b2=0.999, epsilon=1e-8)
    assert config.generator_optimizer == config.discriminator_optimizer == adam
    assert (config.batch_size, config.discriminator_steps, config.penalties) == (100, 1, {})
    assert config.loss == "non_saturating" and config.terms == {} and not config.noise.deviation
    assert (config.generator.activation, config.generator.last_activation) == ("relu", "tanh")
    assert (config.discriminator.activation, config.discriminator.center) == ("relu", 0.0)
    assert config.generator.initializer == config.discriminator.initializer == "uniform_fan_in"
    assert config.decay.shape == "constant" and config.average_decay == 0.0


@pytest.mark.parametrize("condition", ["concatenate", "projection"])
def test_right_labels_are_learned_and_shuffled_ones_are_not(condition, key):
    # Class 0 lies at -1, class 1 at +1, and where labels say nothing both are asked in vain.
    generator = GeneratorConfig(latent_size=2, widths=(16,), condition="concatenate")
    discriminator = DiscriminatorConfig(widths=(32,), condition=condition)
    gan = tiny_gan(
        sample_shape=(1,),
        classes=2,
        penalties={"r1": 0.1, "r2": 0.1},
        generator=dataclasses.replace(generator, last_activation="identity"),
        discriminator=discriminator,
    )

    def step(shuffled, state, step_key):
        label_key, noise_key, told_key = jax.random.split(step_key, 3)
        labels = jax.random.randint(label_key, (64,), 0, 2)
        noise = 0.1 * jax.random.normal(noise_key, (64,))
        samples = (2.0 * labels - 1.0 + noise)[:, None]
        told = jnp.where(shuffled, jax.random.randint(told_key, (64,), 0, 2), labels)
        return gan.train_step(state, Batch(samples, told))[0], None

    @jax.jit
    def learned(shuffled):
        keys = jax.random.split(key, 1_500)
        return jax.lax.scan(partial(step, shuffled), gan.init(key), keys)[0]

    labels = jnp.repeat(jnp.arange(2), 500)
    for shuffled in (False, True):
        samples = gan.sample(learned(shuffled), jax.random.key(9), 1_000, labels)[:, 0]
        consistency = np.mean((samples > 0) == labels)
        if shuffled:
            assert abs(consistency - 0.5) < 0.15
        else:
            assert consistency > 0.98
            assert abs(samples[labels == 1].mean() - 1.0) < 0.2
