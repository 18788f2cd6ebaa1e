"""Networks: shapes, initial values, precision, and what is refused."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.networks import (
    ACTIVATIONS,
    INITIALIZERS,
    LOUD,
    from_linen,
    mlp_discriminator,
    mlp_generator,
)

SHAPE = (4, 5, 3)


def leaves_by_name(params):
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def test_mlp_shapes(key):
    generator = mlp_generator(GeneratorConfig(latent_size=7, widths=(11, 13)), SHAPE)
    params = generator.init(key)
    assert {k: v.shape for k, v in leaves_by_name(params).items() if "kernel" in k} == {
        "body.Dense_0.kernel": (7, 11),
        "body.Dense_1.kernel": (11, 13),
        "body.Dense_2.kernel": (13, 60),
    }
    samples = generator.apply(params, jnp.ones((6, 7)), None, key)
    assert samples.shape == (6, *SHAPE)
    discriminator = mlp_discriminator(DiscriminatorConfig(widths=(9,)), SHAPE)
    logits = discriminator.apply(discriminator.init(key), samples, None, key)
    assert logits.shape == (6,)


def test_discriminator_sees_the_centered_samples(key):
    plain, centered = (
        mlp_discriminator(DiscriminatorConfig(widths=(9,), center=center), (2,))
        for center in (0.0, -1.0)
    )
    params = plain.init(key)
    x = jnp.array([[0.5, -1.0]])
    found = centered.apply(params, x, None, key)
    np.testing.assert_allclose(found, plain.apply(params, x + 1.0, None, key), rtol=1e-6)
    assert abs(found[0] - plain.apply(params, x, None, key)[0]) > 1e-3


def test_no_hidden_layer_is_a_linear_map(key):
    discriminator = mlp_discriminator(DiscriminatorConfig(widths=()), (2,))
    params = discriminator.init(key)
    x = jnp.array([[1.0, 2.0], [3.0, -1.0]])
    dense = params["body"]["Dense_0"]
    expected = np.asarray(x) @ np.asarray(dense["kernel"])[:, 0] + np.asarray(dense["bias"])
    np.testing.assert_allclose(discriminator.apply(params, x, None, key), expected, rtol=1e-6)


def test_mlp_against_plain_arithmetic(key):
    config = GeneratorConfig(latent_size=3, widths=(4,), activation="relu", last_activation="tanh")
    generator = mlp_generator(config, (2,))
    params = generator.init(key)
    first, second = params["body"]["Dense_0"], params["body"]["Dense_1"]
    x = np.array([[0.3, -1.0, 2.0]], np.float32)
    hidden = np.maximum(x @ first["kernel"] + np.asarray(first["bias"])[None], 0)
    expected = np.tanh(hidden @ second["kernel"] + np.asarray(second["bias"])[None])
    np.testing.assert_allclose(generator.apply(params, x, None, key), expected, rtol=1e-5)


def test_uniform_fan_in(key):
    # U(-1/sqrt(n), 1/sqrt(n)) for weights and biases: bounds, and the variance 1/(3n).
    generator = mlp_generator(
        GeneratorConfig(latent_size=100, widths=(400,), initializer="uniform_fan_in"), (784,)
    )
    for name, leaf in leaves_by_name(generator.init(key)).items():
        fan_in = 100 if "Dense_0" in name else 400
        bound = fan_in**-0.5
        assert np.abs(leaf).max() <= bound
        assert np.abs(leaf).max() > 0.98 * bound
        tolerance = 0.05 if "kernel" in name else 0.2
        assert np.var(leaf) == pytest.approx(bound**2 / 3, rel=tolerance)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_keep_scale(name, key):
    kernel_init, bias_init = INITIALIZERS[name](256)
    assert 0.2 / 256 < np.var(kernel_init(key, (256, 256), jnp.float32)) < 3 / 256
    assert np.abs(bias_init(key, (256,), jnp.float32)).max() <= 256**-0.5


def test_matrix_products_have_full_precision(key):
    generator = mlp_generator(GeneratorConfig(latent_size=3, widths=(4,)), (2,))
    program = jax.make_jaxpr(lambda p, z: generator.apply(p, z, None, key))(
        generator.init(key), jnp.ones((1, 3))
    )
    assert str(program).count("precision=(Precision.HIGHEST, Precision.HIGHEST)") == 2


@pytest.mark.parametrize(
    ("player", "field"),
    [("generator", "activation"), ("generator", "last_activation"), ("generator", "initializer")]
    + [("discriminator", "activation"), ("discriminator", "initializer")],
)
def test_unknown_names_are_refused(player, field):
    make, config = {
        "generator": (mlp_generator, GeneratorConfig()),
        "discriminator": (mlp_discriminator, DiscriminatorConfig()),
    }[player]
    with pytest.raises(InputError, match=rf"^{player}\.{field}: 'no_such' is not one of \w+"):
        make(dataclasses.replace(config, **{field: "no_such"}), SHAPE)


def test_every_activation_is_a_function_of_one_array():
    for activation in ACTIVATIONS.values():
        assert activation(jnp.zeros((2, 3))).shape == (2, 3)


class WithBatchStatistics(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.BatchNorm(use_running_average=False)(nn.Dense(3)(x))


class Conditional(nn.Module):
    @nn.compact
    def __call__(self, x, labels):
        return nn.Dense(1)(jnp.concatenate([x, jax.nn.one_hot(labels, 4)], axis=1))[:, 0]


class WithDropout(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dropout(0.5, deterministic=False)(x)


def test_batch_statistics_are_refused(key):
    network = from_linen(WithBatchStatistics(), (2,))
    with pytest.raises(InputError, match="WithBatchStatistics keeps state in batch_stats"):
        network.init(key)


def test_conditional_module_gets_the_labels(key):
    network = from_linen(Conditional(), (2,), conditional=True)
    params = network.init(key)
    x = jnp.ones((2, 2))
    logits = network.apply(params, x, jnp.array([0, 3]), key)
    assert logits.shape == (2,) and logits[0] != logits[1]


def test_module_with_randomness_follows_the_key(key):
    network = from_linen(WithDropout(), (50,))
    x = jnp.ones((1, 50))
    once, again = (network.apply({}, x, None, key) for _ in range(2))
    other = network.apply({}, x, None, jax.random.key(1))
    assert (once == again).all() and (once != other).any()


def conditional(condition: str, widths: tuple[int, ...] = (9,)):
    config = DiscriminatorConfig(widths=widths, condition=condition, center=0.5)
    return mlp_discriminator(config, (2,), classes=3)


def test_a_conditional_generator_sees_the_label_beside_its_latents(key):
    plain = mlp_generator(GeneratorConfig(latent_size=5, widths=(4,)), (2,))
    told = GeneratorConfig(latent_size=2, widths=(4,), condition="concatenate")
    generator = mlp_generator(told, (2,), classes=3)
    params = generator.init(key)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, plain.init(key))
    latents = np.array([[0.3, -1.0], [2.0, 0.1]], np.float32)
    found = generator.apply(params, latents, jnp.array([2, 0]), key)
    by_hand = np.concatenate([latents, LOUD * np.eye(3, dtype=np.float32)[[2, 0]]], axis=1)
    np.testing.assert_allclose(found, plain.apply(params, by_hand, None, key), rtol=1e-6)


def test_a_conditional_generator_draws_labels_it_is_not_given(key):
    config = GeneratorConfig(latent_size=1, widths=(), condition="concatenate")
    generator = mlp_generator(
        dataclasses.replace(config, last_activation="identity"), (1,), classes=3
    )
    params = generator.init(key)
    kernel = jnp.array([[0.0], [1.0], [2.0], [3.0]]) / LOUD  # the sample tells its label
    params["body"]["Dense_0"] = {"kernel": kernel, "bias": jnp.zeros(1)}
    drawn = np.rint(generator.apply(params, jnp.zeros((3_000, 1)), None, key)[:, 0]).astype(int)
    np.testing.assert_allclose(
        np.bincount(drawn, minlength=4) / 3_000, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.04
    )


def test_concatenated_labels_are_further_pixels(key):
    discriminator = conditional("concatenate")
    params = discriminator.init(key)
    plain = mlp_discriminator(DiscriminatorConfig(widths=(9,)), (5,))
    x = np.array([[0.3, -1.0], [2.0, 0.1]], np.float32)
    by_hand = np.concatenate([x - 0.5, np.eye(3, dtype=np.float32)[[1, 0]]], axis=1)
    found = discriminator.apply(params, x, jnp.array([1, 0]), key)
    np.testing.assert_allclose(found, plain.apply(params, by_hand, None, key), rtol=1e-5)


def test_projection_adds_the_product_with_the_labels_own_vector(key):
    discriminator = conditional("projection", ())  # features are the samples themselves
    params = discriminator.init(key)
    kernel, bias = (np.asarray(params["body"]["Dense_0"][name]) for name in ("kernel", "bias"))
    x = np.array([[0.3, -1.0], [2.0, 0.1]], np.float32)
    found = discriminator.apply(params, x, jnp.array([2, 1]), key)
    own = np.array([3, 2])  # column of each row's own class, behind that of all
    expected = (x - 0.5) @ kernel[:, 0] + bias[0]
    expected += np.sum((x - 0.5) * kernel[:, own].T, axis=1) + bias[own]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("condition", ["concatenate", "projection"])
def test_a_row_without_label_is_of_no_class(condition, key):
    discriminator = conditional(condition)
    params = discriminator.init(key)
    x = jnp.array([[0.3, -1.0]] * 4)
    unknown, *known = discriminator.apply(params, x, jnp.array([-1, 0, 1, 2]), key)
    assert len({float(unknown), *map(float, known)}) == 4
    with pytest.raises(InputError, match="discriminator: is conditional; every row needs a label"):
        discriminator.apply(params, x, None, key)


@pytest.mark.parametrize(
    ("make", "config"), [(mlp_generator, GeneratorConfig), (mlp_discriminator, DiscriminatorConfig)]
)
def test_conditions_that_cannot_be(make, config):
    with pytest.raises(InputError, match="condition: 'concat' is not one of none, concatenate"):
        make(config(condition="concat"), (2,), classes=3)
    with pytest.raises(InputError, match="'concatenate' needs data with labels of two classes"):
        make(config(condition="concatenate"), (2,))
