"""Networks: shapes, initial values, precision, and what is refused."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.config import Config, DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError
from gan_jax.networks import (
    ACTIVATIONS,
    DISCRIMINATORS,
    GENERATORS,
    LOUD,
    Network,
    from_linen,
    spectral_norm,
)
from gan_jax.networks import mlp_discriminator as discriminator_of
from gan_jax.networks import mlp_generator as generator_of
from gan_jax.networks.convolutions import Convolution, double, halve

SHAPE = (4, 5, 3)


def mlp_generator(config: GeneratorConfig, shape=SHAPE, classes: int = 0):
    return generator_of(Config(generator=config, sample_shape=shape, classes=classes))


def mlp_discriminator(config: DiscriminatorConfig, shape=SHAPE, classes: int = 0):
    return discriminator_of(Config(discriminator=config, sample_shape=shape, classes=classes))


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


@pytest.mark.parametrize(
    ("name", "variance", "most"),  # times fan-in; a normal cut at two deviations is scaled up again
    [
        ("uniform_fan_in", 1 / 3, 1.0),
        ("lecun_normal", 1.0, 2 / 0.87962566),
        ("he_normal", 2.0, 2**1.5 / 0.87962566),
    ],
)
def test_initial_values(name, variance, most, key):
    config = GeneratorConfig(
        latent_size=64, widths=(256, 100), initializer=name, normalization="layer"
    )
    params = mlp_generator(config, (50,)).init(key)["body"]
    for layer, fan_in in {"Dense_0": 64, "Dense_1": 256, "Dense_2": 100}.items():
        weights = np.asarray(params[layer]["kernel"]) * fan_in**0.5
        assert np.var(weights) == pytest.approx(variance, rel=0.05)
        assert np.abs(np.mean(weights)) < 5 * (variance / weights.size) ** 0.5
        assert 0.97 * most < np.abs(weights).max() <= most * (1 + 1e-6)
        biases = np.asarray(params[layer]["bias"])
        assert len(np.unique(biases)) == (1 if name.endswith("normal") else len(biases))
    for layer in ("LayerNorm_0", "LayerNorm_1"):
        assert (params[layer]["scale"] == 1).all() and (params[layer]["bias"] == 0).all()


def test_no_two_parameters_start_from_one_draw(key):
    config = GeneratorConfig(latent_size=10, widths=(10, 10), initializer="uniform_fan_in")
    params = mlp_generator(config, (10,)).init(key)
    values = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    assert len(np.unique(values)) == 3 * (100 + 10)


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


def test_leaky_silu_is_smooth_and_has_a_slope_on_both_sides():
    slope = jax.vmap(jax.grad(ACTIVATIONS["leaky_silu"]))
    np.testing.assert_allclose(slope(jnp.array([-50.0, 0.0, 50.0])), [0.1, 0.55, 1.0], rtol=1e-6)
    bend = jax.grad(jax.grad(ACTIVATIONS["leaky_silu"]))(0.0)
    np.testing.assert_allclose(bend, 0.45, rtol=1e-6)  # 0.9 / 2: of x * sigmoid(x), twice sigmoid'


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


def test_module_is_traced_once_a_shape(key):
    """Of a step's many calls: tracing is a good part of the time to the first one."""
    traced = []

    class Counted(nn.Module):
        @nn.compact
        def __call__(self, x):
            traced.append(x.shape)
            return x

    network = from_linen(Counted(), (2,))

    @jax.jit
    def twice(x):
        return network.apply({}, x, None, key) + network.apply({}, 2 * x, None, key)

    assert (twice(jnp.ones((3, 2))) == 3.0).all()
    assert traced == [(3, 2)]


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


@pytest.mark.parametrize("shape", [(784, 256), (16, 64), (256, 1), (1, 7)])
def test_spectral_norm_against_singular_values(shape, key):
    kernel = jax.random.normal(key, shape)
    _, values, right = np.linalg.svd(np.asarray(kernel, np.float64), full_matrices=False)
    found = float(spectral_norm(kernel))
    # 20 iterations multiply what the start has along each singular vector by that value's 40th
    # power: the estimate, from below, in closed form.
    start = right @ np.asarray(jax.random.normal(jax.random.key(0), shape[1:]), np.float64)
    powers = start * (values / values[0]) ** 40
    expected = np.linalg.norm(values * powers) / np.linalg.norm(powers)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found < values[0] * (1 + 1e-5)
    # Where the largest stands out, as in a trained layer, that is the largest itself.
    singled = kernel + 5.0 * values[0] * jnp.ones(shape) / np.sqrt(np.prod(shape))
    largest = np.linalg.svd(singled, compute_uv=False)[0]
    np.testing.assert_allclose(spectral_norm(singled), largest, rtol=1e-5)


def test_gradient_of_the_spectral_norm(key):
    # That of the largest singular value is the outer product of its two vectors.
    kernel = jax.random.normal(key, (6, 4)) + 2.0
    left, _, right = np.linalg.svd(kernel)
    expected = np.outer(left[:, 0], right[0])
    np.testing.assert_allclose(jax.grad(spectral_norm)(kernel), expected, atol=1e-4)


def test_gradient_of_the_spectral_norm_where_its_vector_is_hidden():
    """At right angles to where iterations start, but for as little as a training comes upon."""
    start = np.asarray(jax.random.normal(jax.random.key(0), (4,)), np.float64)
    start /= np.linalg.norm(start)
    other = np.linalg.svd(start[None])[2][1]
    first = other + 1e-4 * start
    second = start - 1e-4 * other
    left = np.linalg.qr(np.arange(4.0).reshape(2, 2) + 1)[0]
    kernel = jnp.asarray(left @ np.diag([0.85, 0.45]) @ np.stack([first, second]), jnp.float32)
    expected = np.outer(left[:, 0], first)
    np.testing.assert_allclose(spectral_norm(kernel), 0.85, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(spectral_norm)(kernel), expected, atol=1e-3)


def test_spectral_normalisation_bounds_the_slope(key):
    config = DiscriminatorConfig(widths=(32, 32), activation="relu", normalization="spectral")
    discriminator = mlp_discriminator(config, (5,))
    params = jax.tree.map(lambda leaf: 30.0 * leaf, discriminator.init(key))
    x = jax.random.normal(key, (64, 5))
    slope = jax.grad(lambda x: jnp.sum(discriminator.apply(params, x, None, key)))(x)
    assert np.linalg.norm(slope, axis=1).max() < 1.1  # 1, but for the error of 20 iterations
    plain = mlp_discriminator(dataclasses.replace(config, normalization="none"), (5,))
    params = jax.tree.map(lambda leaf: 30.0 * leaf, plain.init(key))
    slope = jax.grad(lambda x: jnp.sum(plain.apply(params, x, None, key)))(x)
    assert np.linalg.norm(slope, axis=1).max() > 10.0


def test_layer_normalisation(key):
    config = GeneratorConfig(
        latent_size=3,
        widths=(64,),
        activation="identity",
        last_activation="identity",
        normalization="layer",
    )
    generator = mlp_generator(config, (4,))
    params = generator.init(key)
    # The last layer sees what has mean 0 and variance 1, whatever the latents' size.
    small, large = (generator.apply(params, scale * jnp.eye(3), None, key) for scale in (1e2, 1e4))
    np.testing.assert_allclose(small, large, rtol=2e-2, atol=2e-2)
    last = params["body"]["Dense_1"]
    last["kernel"] = jnp.ones_like(last["kernel"])
    found = generator.apply(params, jnp.eye(3), None, key)
    np.testing.assert_allclose(found, jnp.broadcast_to(last["bias"], (3, 4)), atol=1e-4)


@pytest.mark.parametrize("make", [GENERATORS, DISCRIMINATORS])
def test_residual_blocks_that_add_nothing_are_not_there(make, key):
    player = "generator" if make is GENERATORS else "discriminator"
    config = {"generator": GeneratorConfig, "discriminator": DiscriminatorConfig}[player]
    deep = Config(sample_shape=(2,), **{player: config(widths=(8, 5, 6))})  # pyright: ignore
    flat = Config(sample_shape=(2,), **{player: config(widths=(8,))})  # pyright: ignore
    residual, plain = make["residual_mlp"](deep), make["mlp"](flat)
    params = residual.init(key)
    body = params["body"]
    shapes = [body[f"Dense_{index}"]["kernel"].shape for index in range(6)]
    assert shapes[1:5] == [(8, 5), (5, 8), (8, 6), (6, 8)]
    for index in (2, 4):  # the second layers of both blocks
        body[f"Dense_{index}"] = jax.tree.map(jnp.zeros_like, body[f"Dense_{index}"])
    without = {"body": {"Dense_0": body["Dense_0"], "Dense_1": body["Dense_5"]}}
    inputs = jax.random.normal(key, (3, shapes[0][0]))
    np.testing.assert_allclose(
        residual.apply(params, inputs, None, key), plain.apply(without, inputs, None, key)
    )
    body["Dense_2"] = jax.tree.map(jnp.ones_like, body["Dense_2"])
    moved = residual.apply(params, inputs, None, key)
    assert np.abs(moved - plain.apply(without, inputs, None, key)).max() > 1e-3


def with_head(head: str, **changes):
    config = DiscriminatorConfig(widths=(), head=head, **changes)
    generator = GeneratorConfig(latent_size=4, categories=2)
    return discriminator_of(
        Config(discriminator=config, generator=generator, sample_shape=(2,), classes=3)
    )


X = np.array([[0.3, -1.0], [2.0, 0.1]], np.float32)


@pytest.mark.parametrize(
    ("head", "condition", "slices"),
    [
        ("classes", "none", {"classes": slice(1, 4)}),
        ("classes", "projection", {"classes": slice(4, 7)}),
        ("codes", "none", {"category": slice(1, 3), "codes": slice(3, 6)}),
    ],
)
def test_heads_are_further_outputs(head, condition, slices, key):
    discriminator = with_head(head, codes=3, condition=condition)
    params = discriminator.init(key)
    layer = params["body"]["Dense_0"]
    output = X @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])[None]
    labels = jnp.array([-1, -1])
    judgement = discriminator.apply(params, X, labels, key)
    np.testing.assert_allclose(judgement.logits, output[:, 0], rtol=1e-5)
    assert judgement.heads.keys() == slices.keys()
    for name, where in slices.items():
        np.testing.assert_allclose(judgement.heads[name], output[:, where], rtol=1e-5)


def test_semi_supervised_probability_is_that_of_any_class(key):
    # Softmax over the classes' logits and a fake's, 0: D(x) = 1 - its probability.
    discriminator = with_head("semi_supervised")
    judgement = discriminator.apply(discriminator.init(key), X, None, key)
    assert judgement.logits.shape == (2,) and judgement.heads["classes"].shape == (2, 3)
    with_fake = jnp.concatenate([judgement.heads["classes"], jnp.zeros((2, 1))], axis=1)
    np.testing.assert_allclose(
        jax.nn.sigmoid(judgement.logits), 1.0 - jax.nn.softmax(with_fake)[:, 3], rtol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "class"}, "discriminator.head: 'class' is not one of none, classes"),
        ({"head": "codes", "codes": 9}, "discriminator.codes: 9 of 4 latents cannot be told"),
        (
            {"head": "semi_supervised", "condition": "projection"},
            "discriminator.condition: 'projection' would give away the label",
        ),
    ],
)
def test_heads_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        with_head(**changes)
    config = Config(discriminator=DiscriminatorConfig(head="classes"), sample_shape=(2,))
    with pytest.raises(InputError, match="'classes' needs data with labels of two classes"):
        discriminator_of(config)


def test_deviation_of_the_batch_is_one_more_feature(key):
    config = DiscriminatorConfig(widths=(), minibatch_deviation=True)
    discriminator = mlp_discriminator(config, (2,))
    params = discriminator.init(key)
    kernel = params["body"]["Dense_0"]["kernel"]
    assert kernel.shape == (3, 1)
    shift = np.std(X, axis=0).mean() * kernel[2, 0]
    plain = X @ np.asarray(kernel[:2, 0]) + params["body"]["Dense_0"]["bias"][0]
    np.testing.assert_allclose(discriminator.apply(params, X, None, key), plain + shift, rtol=1e-4)
    alike = np.tile(X[:1], (4, 1))  # a collapse; its gradient has to be finite

    def total(x):
        return jnp.sum(discriminator.apply(params, x, None, key))

    assert np.isfinite(jax.grad(total)(alike)).all()


def dcgan(shape, normalization="none", **changes):
    config = Config(
        sample_shape=shape,
        classes=3,
        generator=GeneratorConfig(
            name="dcgan", latent_size=5, widths=(6, 4), normalization=normalization
        ),
        discriminator=DiscriminatorConfig(
            name="dcgan", widths=(3, 4), normalization=normalization, **changes
        ),
    )
    return GENERATORS["dcgan"](config), DISCRIMINATORS["dcgan"](config)


def compiled(network: Network) -> Network:
    return Network(jax.jit(network.init), jax.jit(network.apply))


@pytest.mark.parametrize(
    ("shape", "normalization"),
    [((28, 28, 1), "none"), ((9, 7, 3), "layer"), ((9, 7, 3), "spectral")],
)
def test_convolutional_pair(normalization, shape, key):
    generator, discriminator = map(compiled, dcgan(shape, normalization))
    params = generator.init(key)
    latents = jax.random.normal(key, (4, 5))
    samples = generator.apply(params, latents, None, key)
    assert samples.shape == (4, *shape) and np.abs(samples).max() <= 1.0
    logits = discriminator.apply(discriminator.init(key), samples, None, key)
    assert logits.shape == (4,)
    # No row knows of another: what batch statistics would not keep.
    alone = generator.apply(params, latents[:1], None, key)
    np.testing.assert_allclose(alone, samples[:1], rtol=1e-4, atol=1e-5)
    second = discriminator.apply(discriminator.init(key), samples[1:2], None, key)
    np.testing.assert_allclose(second, logits[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(28, 28), (9, 7), (1, 2)])
def test_products_are_convolutions(shape, key):
    x, kernel = jax.random.normal(key, (3, *shape, 5)), jax.random.normal(key, (4, 4, 5, 6))
    known = (halve, jax.lax.conv_general_dilated), (double, jax.lax.conv_transpose)
    for ours, theirs in known:
        apply = jax.jit(ours, static_argnums=2)
        expected = theirs(
            x,
            kernel,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision="highest",
        )
        np.testing.assert_allclose(apply(x, kernel, "float32"), expected, rtol=1e-5, atol=1e-4)
        rounded = np.linalg.norm(apply(x, kernel, "bfloat16") - expected)
        assert 1e-4 < rounded / np.linalg.norm(expected) < 1e-2


def test_convolutions_see_labels_and_the_batch(key):
    _, discriminator = dcgan((8, 8, 2), condition="concatenate", minibatch_deviation=True)
    params = discriminator.init(key)
    assert params["Convolution_0"]["kernel"].shape == (4, 4, 2 + 1 + 3, 3)
    x = jax.random.normal(key, (2, 8, 8, 2))
    first, second = (discriminator.apply(params, x, jnp.array([0, y]), key) for y in (0, 1))
    assert first[0] == second[0] and first[1] != second[1]


@pytest.mark.parametrize("transposed", [False, True])
def test_spectral_convolutions_have_norm_one(transposed, key):
    layer = Convolution(3, "spectral", "float32", transposed)
    x = jax.random.normal(key, (2, 4, 4, 2))
    params: Any = layer.init(key, x)["params"]
    kernel = jax.random.normal(key, (4, 4, 2, 3)) + 1.0  # its largest singular value stands out
    assert params["kernel"].shape == kernel.shape
    largest = np.linalg.svd(kernel.reshape(-1, 3), compute_uv=False)[0]
    apply = double if transposed else halve
    found: Any = layer.apply({"params": params | {"kernel": kernel}}, x)
    np.testing.assert_allclose(found, apply(x, kernel / largest, "float32"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample_shape": (2,)}, "generator.name: 'dcgan' makes images; samples here are points"),
        ({"generator": GeneratorConfig(widths=())}, "generator.widths: 'dcgan' needs one"),
        ({"generator": GeneratorConfig(normalization="batch")}, "normalization: 'batch' is not"),
    ],
)
def test_convolutions_that_cannot_be(changes, message):
    with pytest.raises(InputError, match=message):
        GENERATORS["dcgan"](Config(**changes))
