"""How matrix products are rounded, forwards and in every gradient."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_close, assert_same_bits, quiet, random_batch, stack, tiny_config

from gan_jax import precision
from gan_jax.assembly import from_config
from gan_jax.benchmark import products
from gan_jax.cli import main
from gan_jax.data import Part, load
from gan_jax.data.stream import make_stream
from gan_jax.errors import InputError
from gan_jax.loops import population, scan_steps
from gan_jax.precision import product
from gan_jax.recipes import recipe
from gan_jax.sampling import sample_run
from gan_jax.train import resume, train

DENSE = (((1,), (0,)), ((), ()))
bfloat16 = product("bfloat16")


def rounded(x: jax.Array) -> np.ndarray:
    """To bfloat16 and back, as float64: products and sums of these are exact enough to compare."""
    return np.asarray(x.astype(jnp.bfloat16).astype(jnp.float32), np.float64)


@pytest.fixture
def factors(key):
    left, right, gradient = (
        jax.random.normal(jax.random.fold_in(key, i), shape)
        for i, shape in enumerate([(6, 40), (40, 9), (6, 9)])
    )
    return left, right, gradient


def test_a_product_rounds_its_factors_and_nothing_else(factors):
    left, right, _ = factors
    found = bfloat16(left, right, DENSE)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, rounded(left) @ rounded(right), rtol=1e-5, atol=1e-5)
    assert np.abs(found - left @ right).max() > 1e-3  # the factors were not representable


def test_so_do_those_of_its_gradients(factors):
    left, right, gradient = factors
    _, pullback = jax.vjp(lambda a, b: bfloat16(a, b, DENSE), left, right)
    to_left, to_right = jax.jit(pullback)(gradient)
    np.testing.assert_allclose(to_left, rounded(gradient) @ rounded(right).T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(to_right, rounded(left).T @ rounded(gradient), rtol=1e-5, atol=1e-5)


def test_no_product_of_a_gradient_falls_back_to_float32():
    """XLA's CPU compiler turns factors back into float32 where it has no kernel for a layout."""
    left, right = jnp.ones((256, 512)), jnp.ones((512, 384))

    def forward(left, right):
        return bfloat16(left, right, DENSE)

    def backward(left, right, gradient):
        return jax.vjp(forward, left, right)[1](gradient)

    def types(function, *arguments):
        """Of the factors of all its products, once compiled."""
        text = jax.jit(function).lower(*arguments).compile().as_text() or ""
        known = dict(re.findall(r"^ +(?:ROOT )?(%[\w.-]+) = (\w+)\[", text, re.MULTILINE))
        dots = re.findall(r" dot\((.*?)\)", text)
        return [known[name] for dot in dots for name in dot.split(", ")]

    if set(types(forward, left, right)) != {"bf16"}:
        pytest.skip("this processor has no bfloat16 products")
    assert types(backward, left, right, jnp.ones((256, 384))) == 4 * ["bf16"]


@pytest.mark.parametrize("turned", [(a, b) for a in (False, True) for b in (False, True)])
def test_gradients_of_every_kind_of_product(turned, factors):
    """Of turned factors too, which are what gradients of gradients multiply."""
    plain = factors[:2]
    given = [x.T if t else x for x, t in zip(plain, turned, strict=True)]
    multiply: Any = precision._bfloat16
    found, pullback = jax.vjp(lambda a, b: multiply(a, b, *turned), *given)
    left, right, gradient = map(rounded, factors)
    expected = [gradient @ right.T, left.T @ gradient]
    np.testing.assert_allclose(np.asarray(found), left @ right, rtol=1e-5, atol=1e-5)
    for got, wanted, t in zip(pullback(factors[2]), expected, turned, strict=True):
        np.testing.assert_allclose(got, wanted.T if t else wanted, rtol=1e-5, atol=1e-5)


def test_leading_axes_are_rows(key):
    left, right = jax.random.normal(key, (2, 3, 4)), jax.random.normal(key, (4, 5))
    found = bfloat16(left, right, (((2,), (0,)), ((), ())))
    assert_same_bits(found, bfloat16(left.reshape(6, 4), right, DENSE).reshape(2, 3, 5))


def test_every_product_of_a_step_is_in_bfloat16():
    """Those of R1 and R2, which are gradients of gradients, too."""
    digits = load("digits").train
    assert isinstance(digits, Part)
    for name, dtype in (("float32", jnp.float32), ("bfloat16", jnp.bfloat16)):
        config = dataclasses.replace(recipe("gan"), precision=name)
        found = products(from_config(config), make_stream(digits, config.batch_size, 0, 1))
        layers = [p for p in found if min(*p.left, *p.right) > 1]
        assert len(layers) > 20 and {p.dtype for p in layers} == {jnp.dtype(dtype)}


def test_steps_in_bfloat16_are_near_those_in_float32_whose_types_they_keep():
    states = {}
    for name in ("float32", "bfloat16"):
        gan = from_config(tiny_config(precision=name))
        step, states[name] = jax.jit(gan.train_step), gan.init(jax.random.key(0))
        for i in range(3):
            states[name], metrics = step(states[name], random_batch(i))
            assert metrics.finite
    wide, narrow = states["float32"], states["bfloat16"]
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: a.dtype == b.dtype, wide, narrow)))
    params = wide.discriminator.params, narrow.discriminator.params
    assert_close(*params, rtol=0, atol=5e-3)  # Adam moves each by 2e-3 a step
    with pytest.raises(AssertionError):
        assert_same_bits(*params)


def test_scan_and_population_in_bfloat16():
    gan = from_config(tiny_config(precision="bfloat16"))
    batches = [random_batch(i) for i in range(3)]
    keys = jax.random.split(jax.random.key(0), 2)
    states, _ = jax.jit(lambda s, b: scan_steps(population(gan).train_step, s, b))(
        population(gan).init(keys), stack(batches)
    )
    alone = gan.init(keys[1])
    for batch in batches:
        alone, _ = jax.jit(gan.train_step)(alone, batch)
    member = jax.tree.map(lambda x: x[1], states)
    # A last bit of float32 may tip a factor over to the next bfloat16.
    assert_close(member.generator.params, alone.generator.params, rtol=0, atol=5e-3)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="precision: 'bfloat' is not one of.*did you mean"):
        from_config(tiny_config(precision="bfloat"))


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="a GPU has tf32")
def test_tf32_needs_a_gpu(capsys, tmp_path):
    arguments = ["train", "--precision", "tf32", "--run-dir", str(tmp_path / "run")]
    assert main(arguments) == 2
    assert "precision: tf32 needs a GPU" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="a GPU has tf32")
def test_what_a_gpu_learned_in_tf32_can_be_looked_at_anywhere(tmp_path):
    console = quiet()
    run = train(tiny_config(steps=2), tmp_path / "run", console=console).run
    before = sample_run(run.path, 5)
    text = run.config_path.read_text()
    run.config_path.write_text(text.replace('precision = "float32"', 'precision = "tf32"'))
    assert run.read_config().precision == "tf32"
    np.testing.assert_array_equal(sample_run(run.path, 5), before)
    with pytest.raises(InputError, match="precision: tf32 needs a GPU"):
        resume(run.path, 4, console=console)
