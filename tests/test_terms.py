"""Terms in closed form, and heads that learn what they are asked."""

import dataclasses
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import MANY_STEPS, assert_close, random_batch, tiny_config, tiny_gan
from sklearn.datasets import load_digits

from gan_jax.assembly import from_config
from gan_jax.config import Config, DecayConfig, DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.game import ClusteredLatents
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network, mlp_discriminator, mlp_generator
from gan_jax.recipes import recipe
from gan_jax.terms import HEADS_OF, TERMS, Told
from gan_jax.types import Batch, Judgement

LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [3.0, 1.0, -1.0]], np.float32)
LABELS = jnp.array([2, 0, 1])
SURPRISE = -np.log(np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True))[range(3), LABELS]


def says(logits, **heads) -> Judgement:
    return Judgement(jnp.asarray(logits), {name: jnp.asarray(x) for name, x in heads.items()})


def wanted(name, player, real, fake, labels: Any = LABELS, latents=None):
    want = getattr(TERMS[name], player)
    return want(real, fake, Told(labels, latents))


def test_classes_is_the_cross_entropy_of_the_labels():
    real, fake = says(jnp.zeros(3), classes=LOGITS), says(jnp.zeros(3), classes=-LOGITS)
    of_fakes = -np.log(np.exp(-LOGITS) / np.exp(-LOGITS).sum(1, keepdims=True))[range(3), LABELS]
    both = wanted("classes", "discriminator", real, fake)
    np.testing.assert_allclose(both, SURPRISE + of_fakes, rtol=1e-5)
    np.testing.assert_allclose(wanted("classes", "generator", real, fake), of_fakes, rtol=1e-5)


def test_semi_supervised_is_the_mean_over_rows_with_a_label():
    real, fake = says(jnp.zeros(3), classes=LOGITS), says(jnp.zeros(3), classes=-LOGITS)
    assert TERMS["semi_supervised"].generator is None
    some = wanted("semi_supervised", "discriminator", real, fake, jnp.array([2, -1, 1]))
    np.testing.assert_allclose(np.mean(some), SURPRISE[[0, 2]].mean(), rtol=1e-5)
    assert some[1] == 0.0
    none = wanted("semi_supervised", "discriminator", real, fake, jnp.full(3, -1))
    np.testing.assert_array_equal(none, 0.0)


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_information_bound(player, key):
    latents = ClusteredLatents(3, 4)(key, 2_000)
    category, normals = latents[:, 3:], latents[:, :2]
    nothing = says(jnp.zeros(2_000), category=0 * category, codes=0 * normals)
    everything = says(jnp.zeros(2_000), category=9 * category, codes=normals)
    fake = {
        # Who knows nothing has a bound of 0: entropies and surprises cancel.
        0.0: nothing,
        # All of the category, and of each normal what a normal of deviation 1 can tell: 1/2 nat.
        np.log(4) + 1.0: everything,
    }
    for bound, judgement in fake.items():
        found = wanted("information", player, nothing, judgement, None, latents)
        assert found.shape == (2_000,)
        assert np.mean(found) == pytest.approx(bound, abs=0.07)
    assert TERMS["information"].factor == -1.0  # more of it is wanted


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_smoothing_is_cross_entropy_with_other_targets(share):
    r, f = np.array([-1.3, 0.4, 2.1], np.float32), np.array([0.7, -0.6, 1.2], np.float32)
    plain = LOSSES["minimax"].discriminator(jnp.asarray(r), jnp.asarray(f))
    real = says(r)
    smoothed = plain + share * wanted("smoothing", "discriminator", real, says(f))
    both = smoothed + share * wanted("fake_smoothing", "discriminator", real, says(f))
    of_reals = optax.sigmoid_binary_cross_entropy(r, np.full(3, 1 - share))
    np.testing.assert_allclose(
        smoothed, of_reals + optax.sigmoid_binary_cross_entropy(f, np.zeros(3)), rtol=1e-5
    )
    np.testing.assert_allclose(
        both, of_reals + optax.sigmoid_binary_cross_entropy(f, np.full(3, share)), rtol=1e-5
    )


@pytest.mark.parametrize(
    "name",
    # The last of which is as the one before.
    [pytest.param(x, marks=[pytest.mark.long] * (x == "fake_smoothing")) for x in TERMS],
)
def test_of_weight_zero_it_is_the_plain_step(name, key, monkeypatch):
    changes = {
        "sample_shape": (2,),
        "classes": 3,
        "generator": GeneratorConfig(
            latent_size=3,
            categories=3,
            widths=(8,),
            last_activation="identity",
            condition="concatenate" if name == "classes" else "none",
        ),
        "discriminator": DiscriminatorConfig(widths=(8,), head=HEADS_OF.get(name, "none")),
    }
    batch = random_batch(0)._replace(labels=jnp.arange(8) % 3)
    with monkeypatch.context() as patch:  # a head that nothing trains would be refused
        patch.setattr("gan_jax.assembly._check_together", lambda config: None)
        plain = tiny_gan(**changes)
    found = tiny_gan(**changes, terms={name: 0.0})
    state, metrics = jax.jit(plain.train_step)(plain.init(key), batch)
    with_term, with_metrics = jax.jit(found.train_step)(found.init(key), batch)
    assert_close(with_term.generator, state.generator)
    assert_close(with_term.discriminator, state.discriminator)
    assert f"discriminator_{name}" in with_metrics.extra and not metrics.extra
    heavy = tiny_gan(**changes, terms={name: 1.0})
    moved, _ = jax.jit(heavy.train_step)(heavy.init(key), batch)
    assert any(
        np.abs(a - b).max() > 1e-6
        for a, b in zip(
            jax.tree.leaves(moved.discriminator.params),
            jax.tree.leaves(state.discriminator.params),
            strict=True,
        )
    )


def test_a_term_without_its_head_is_refused(key):
    config = tiny_config()
    gan = build(  # from parts, nobody has compared their names
        generator=mlp_generator(config),
        discriminator=mlp_discriminator(config),
        loss=LOSSES["non_saturating"],
        terms={"information": (TERMS["information"], 1.0)},
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=3,
    )
    with pytest.raises(InputError, match="need the discriminator's head 'category'; it has none"):
        jax.eval_shape(gan.train_step, jax.eval_shape(gan.init, key), random_batch(0))
    gan = tiny_gan(
        classes=3,
        terms={"semi_supervised": 1.0},
        discriminator=DiscriminatorConfig(head="semi_supervised"),
    )
    with pytest.raises(InputError, match="need the rows' labels; the data have none"):
        jax.eval_shape(gan.train_step, jax.eval_shape(gan.init, key), random_batch(0))


CONDITIONAL = GeneratorConfig(condition="concatenate")
CLASSES = DiscriminatorConfig(head="classes")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"terms": {"class": 1.0}}, "terms: 'class' is not one of classes, semi"),
        ({"terms": {"information": 1.0}}, "terms.information: needs discriminator.head codes; it"),
        (
            {"terms": {"semi_supervised": 1.0}, "discriminator": CLASSES},
            "terms.semi_supervised: needs discriminator.head semi_supervised; it is classes",
        ),
        ({"discriminator": CLASSES}, "nothing trains classes; give terms.classes too"),
        (
            {"terms": {"classes": 1.0}, "discriminator": CLASSES},
            "terms.classes: needs generator.condition; it is none",
        ),
        ({"generator": CONDITIONAL}, "generator.condition: nothing holds the generator to its"),
        (
            {
                "terms": {"classes": 1.0},
                "generator": CONDITIONAL,
                "discriminator": DiscriminatorConfig(head="classes", condition="concatenate"),
            },
            "'concatenate' would give away the label that head 'classes' has to tell",
        ),
        (
            {"terms": {"smoothing": 0.1}, "loss": "relativistic"},
            "terms.smoothing: is of losses that define D.x., minimax, non_saturating.*relativistic",
        ),
    ],
)
def test_parts_that_would_train_something_else_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        tiny_gan(classes=3, **changes)


def labelled_normals(key, count: int, known: float = 1.0) -> Batch:
    """Of class 0 about -1, of class 1 about 1, deviation 1: the posterior of 1 is sigmoid(2x)."""
    label_key, noise_key, known_key = jax.random.split(key, 3)
    labels = jax.random.randint(label_key, (count,), 0, 2)
    samples = (2.0 * labels - 1.0 + jax.random.normal(noise_key, (count,)))[:, None]
    told = jax.random.uniform(known_key, (count,)) < known
    return Batch(samples, jnp.where(told, labels, -1))


@pytest.mark.parametrize(
    ("head", "known"),
    [("semi_supervised", 0.2), pytest.param("classes", 1.0, marks=pytest.mark.long)],
)
def test_heads_find_a_known_posterior(head, known, key):
    # Beside a generator that is perfect, whose samples are of the class they were asked to be.
    def generate(params, latents, labels, key):
        drawn = jax.random.randint(key, labels.shape, 0, 2)
        labels = jnp.where(labels < 0, drawn, labels)
        return 2.0 * labels[:, None] - 1.0 + latents + 0.0 * params

    config = DiscriminatorConfig(widths=(32,), head=head)
    gan = build(
        generator=Network(lambda key: jnp.zeros(()), generate),
        discriminator=mlp_discriminator(Config(sample_shape=(1,), classes=2, discriminator=config)),
        loss=LOSSES["non_saturating"],
        terms={name: (TERMS[name], 1.0) for name in [head]},
        generator_optimizer=optax.sgd(0.0),
        discriminator_optimizer=optax.adam(optax.linear_schedule(1e-2, 0.0, 3_000)),
        draw_latents=1,
    )

    def step(state, key):
        return gan.train_step(state, labelled_normals(key, 256, known))[0], None

    state, _ = jax.jit(
        lambda s: jax.lax.scan(step, s, jax.random.split(key, 3_000)), compiler_options=MANY_STEPS
    )(gan.init(key))
    real = labelled_normals(jax.random.key(7), 4_000)
    judgement = gan.game.judge(state.discriminator.params, real.samples, None, key)
    said = np.asarray(jax.nn.softmax(judgement.heads["classes"])[:, 1])
    truth = np.asarray(jax.nn.sigmoid(2.0 * real.samples[:, 0]))
    assert np.abs(said - truth).mean() < 0.04
    for low in np.arange(0.0, 1.0, 0.25):  # and reliable: as often right as it says
        among = (said >= low) & (said < low + 0.25)
        assert np.asarray(real.labels)[among].mean() == pytest.approx(said[among].mean(), abs=0.06)
    # Real against fake it is at a loss: D(x) = 1/2.
    assert np.abs(judgement.logits).mean() < 0.4


def calibration_error(logits, labels) -> float:
    """By how much rows are more or less often right than said, in tenths of what was said."""
    said = np.asarray(jax.nn.softmax(logits)).max(axis=1)
    right = np.asarray(logits.argmax(axis=1) == labels)
    bins = np.minimum((10 * said).astype(int), 9)
    return sum(abs((right - said)[bins == tenth].sum()) for tenth in range(10)) / len(said)


GENTLE = {"penalties": {"r1": 0.03}, "terms": {"semi_supervised": 3.0}}


@pytest.mark.parametrize(
    ("name", "known", "changes"),
    [
        ("sgan", 0.3, GENTLE),
        pytest.param("sgan", 1.0, {}, marks=pytest.mark.long),
        pytest.param("acgan", 1.0, {}, marks=pytest.mark.long),
    ],
)
def test_heads_are_calibrated_on_real_data(name, known, changes, key):
    # Handwritten digits under so much noise that one in five cannot be told; rows never seen.
    base = recipe(name)
    steps = 1_500
    config = dataclasses.replace(
        base,
        sample_shape=(8, 8, 1),
        classes=10,
        generator=dataclasses.replace(base.generator, widths=(64,)),
        discriminator=dataclasses.replace(base.discriminator, widths=(64,)),
        decay=DecayConfig(shape="linear", horizon=steps),
        **changes,
    )
    gan, digits = from_config(config), cast(Any, load_digits())
    images = jnp.asarray(digits.images / 8 - 1, jnp.float32)[..., None]
    labels = jnp.asarray(digits.target)

    def noisy(key, rows) -> jax.Array:
        return images[rows] + 0.7 * jax.random.normal(key, (len(rows), 8, 8, 1))

    def step(state, key):
        row_key, noise_key, known_key = jax.random.split(key, 3)
        rows = jax.random.choice(row_key, 900, (64,))
        told = jnp.where(jax.random.uniform(known_key, (64,)) < known, labels[rows], -1)
        return gan.train_step(state, Batch(noisy(noise_key, rows), told))[0], None

    state, _ = jax.jit(
        lambda s: jax.lax.scan(step, s, jax.random.split(key, steps)), compiler_options=MANY_STEPS
    )(gan.init(key))
    rows = np.tile(np.arange(900, len(labels)), 4)
    judgement = gan.game.judge(state.discriminator.params, noisy(key, rows), None, key)
    logits = judgement.heads["classes"]
    assert 0.7 < np.mean(logits.argmax(axis=1) == labels[rows]) < 0.9
    halved, found, doubled = (calibration_error(x * logits, labels[rows]) for x in (0.5, 1.0, 2.0))
    if (name, changes) == ("sgan", {}):
        # SGAN's penalties are of the same logits that tell the classes: strong ones make it timid.
        assert doubled < 0.05 < 0.15 < found
    else:  # and what is as timid or as bold as this would be noticed
        assert found < 0.05 < 0.07 < min(halved, doubled)


def test_infogan_puts_its_code_into_the_samples(key):
    # One dimension, four modes, no labels: the category becomes the mode.
    gan = tiny_gan(
        sample_shape=(1,),
        terms={"information": 1.0},
        penalties={"r1": 0.1, "r2": 0.1},
        generator=GeneratorConfig(
            latent_size=2, categories=4, widths=(32,), last_activation="identity"
        ),
        discriminator=DiscriminatorConfig(widths=(64,), head="codes", codes=0),
    )

    def step(state, key):
        mode_key, noise_key = jax.random.split(key)
        modes = jax.random.randint(mode_key, (128, 1), 0, 4) - 1.5
        return gan.train_step(state, Batch(modes + 0.1 * jax.random.normal(noise_key, (128, 1))))

    _, metrics = jax.jit(
        lambda s: jax.lax.scan(step, s, jax.random.split(key, 2_000)), compiler_options=MANY_STEPS
    )(gan.init(key))
    bound = np.asarray(metrics.extra["generator_information"])
    assert bound[:5].mean() < 0.5 < 0.9 * np.log(4) < bound[-200:].mean() <= np.log(4) + 1e-3
