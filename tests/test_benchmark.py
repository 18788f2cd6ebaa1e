"""What is timed and how it is counted; never how fast it is."""

import collections
import itertools

import jax
import jax.numpy as jnp
import pytest
from conftest import tiny_config

from gan_jax import benchmark
from gan_jax.assembly import from_config
from gan_jax.benchmark import bare_products, in_turns, measure, products
from gan_jax.cli import main
from gan_jax.data import Part, load
from gan_jax.data.stream import make_stream
from gan_jax.recipes import recipe


@pytest.fixture(scope="module")
def digits() -> Part:
    data = load("digits").train
    assert isinstance(data, Part)
    return data


def test_products_of_the_tutorial_gan(digits):
    config = recipe("concept")
    found = products(from_config(config), make_stream(digits, 100, 0, 1))
    # By hand: rows, summed, columns, in any order of the three.
    expected = [
        (100, 100, 128),  # generator: forward
        (100, 128, 784),
        (100, 784, 128),  # discriminator: real, fake, and fake again once it has moved
        (100, 784, 128),
        (100, 784, 128),
        (784, 100, 128),  # its weights: real and fake
        (784, 100, 128),
        (100, 128, 784),  # back to the fakes
        (128, 100, 784),  # generator: its weights, its hidden layer, its first weights
        (100, 784, 128),
        (100, 100, 128),
    ]
    last_layer = [(100, 128, 1)] * 8  # three judgements, two weights' gradients, three ways back
    flops = collections.Counter(product.flops for product in found)
    assert flops == collections.Counter(2 * a * b * c for a, b, c in expected + last_layer)


@pytest.mark.parametrize("name", ["gan", "concept"])
def test_count_agrees_with_the_compiler(name, digits):
    config = recipe(name)
    gan, stream = from_config(config), make_stream(digits, config.batch_size, 0, 1)
    state, batch = gan.init(jax.random.key(0)), stream.take(stream.source, stream.picks(0)[0])
    analysis = jax.jit(gan.train_step).lower(state, batch).compile().cost_analysis() or {}
    # The compiler also counts activations, Adam and the rest, a few operations for each number.
    counted = sum(product.flops for product in products(gan, stream))
    assert 0.9 * analysis["flops"] < counted < analysis["flops"]


def test_a_population_has_the_products_of_its_members_side_by_side(digits):
    config = recipe("concept")
    gan, stream = from_config(config), make_stream(digits, config.batch_size, 0, 1)
    alone, three = products(gan, stream), products(gan, stream, 3)
    assert collections.Counter(p.flops for p in three) == collections.Counter(
        3 * p.flops for p in alone
    )


def test_products_in_loops_count_each_time(digits):
    def count(steps: int) -> int:
        config = tiny_config(sample_shape=(28, 28, 1), discriminator_steps=steps, batch_size=4)
        return len(products(from_config(config), make_stream(digits, 4 * steps, 0, 1)))

    assert count(3) - count(2) == count(4) - count(3) > 10


def test_twice_the_same_counts_once_and_unused_not_at_all():
    def program(a, b):
        _ = jnp.cos(a) @ b
        return jnp.tanh(a @ b) + jnp.tanh(a @ b), jnp.sin(a) @ b

    jaxpr = jax.make_jaxpr(program)(jnp.ones((2, 3)), jnp.ones((3, 4)))
    assert [p.flops for p in benchmark._dots(jaxpr.jaxpr)] == [48, 48]


def test_turns_are_interleaved_and_rates_are_steps_a_second(monkeypatch):
    calls, clock = [], itertools.count(0.0, 2.0)  # every look at the clock is two seconds later
    runs = {name: lambda steps, name=name: calls.append((name, steps)) for name in "ab"}
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(clock))
    assert in_turns(runs, 15, 2) == {"a": [7.5, 7.5], "b": [7.5, 7.5]}
    turns = [call for name in "abba" for call in ((name, 2), (name, 15))]
    assert calls == [("a", 1), ("b", 1), *turns]


@pytest.mark.long
def test_what_is_timed_does_the_steps_it_is_asked_for(digits, monkeypatch):
    done = collections.Counter()
    config = tiny_config(sample_shape=(28, 28, 1), batch_size=4)
    runs = measure(config, digits, members=2)
    populations = ["2 at once", "2 one by one"]
    alone = ["in a loop", "step by step", "bare products"]
    assert list(runs) == [*alone, *populations, "2 bare products"]
    monkeypatch.setattr(
        jax, "block_until_ready", lambda x: done.update([int(jnp.max(x.step))]) or x
    )
    for name in ("in a loop", "step by step", *populations):
        runs[name](250)
        runs[name](1)
    assert done == {250: 4, 251: 4}


def test_a_population_is_compared_with_its_own_products(digits, monkeypatch):
    made = []
    monkeypatch.setattr(benchmark, "bare_products", made.append)
    measure(tiny_config(sample_shape=(28, 28, 1), batch_size=4), digits, members=3)
    alone, three = (sum(product.flops for product in each) for each in made)
    assert three == 3 * alone > 0


def test_as_many_products_of_each_kind_as_there_are_steps_of_it(digits, monkeypatch):
    done = collections.Counter()
    monkeypatch.setattr(
        benchmark, "bare_products", lambda found: lambda steps: done.update({len(found): steps})
    )
    config = tiny_config(sample_shape=(28, 28, 1), batch_size=4, penalty_interval=4)
    measure(config, digits)["bare products"](100)
    assert [done[products] for products in sorted(done)] == [75, 25]


def test_a_loop_is_compiled_by_the_options_for_many_steps(digits, monkeypatch):
    monkeypatch.setattr(benchmark, "many_steps", lambda platform: {f"no_option_of_{platform}": "1"})
    runs = measure(tiny_config(sample_shape=(28, 28, 1), batch_size=4), digits)
    for name in ("in a loop", "bare products"):  # or they could not be compared
        with pytest.raises(jax.errors.JaxRuntimeError, match="no_option_of_cpu"):
            runs[name](1)


def test_what_the_report_divides_by_what(monkeypatch):
    rates = {"in a loop": 60, "step by step": 45, "bare products": 80}
    rates |= {"2 at once": 40, "2 one by one": 25, "2 bare products": 50}
    monkeypatch.setattr(benchmark, "measure", lambda *_: {})
    monkeypatch.setattr(benchmark, "in_turns", lambda *_: {k: [float(v)] for k, v in rates.items()})
    assert list(benchmark.report(recipe("concept"), 2, 1, 1))[-5:] == [
        "a loop makes 75% of its bare products",
        "a call a step makes 75% of the loop",
        "one GAN of 2 at once costs 0.75 times one alone",
        "one GAN of 2 one by one costs 1.20 times one alone",
        "2 at once make 80% of their bare products",
    ]


def test_bare_products_run():
    plain, batched = (((1,), (0,)), ((), ())), (((2,), (1,)), ((0,), (0,)))
    pair = [
        benchmark.Product((2, 3), (3, 4), plain),
        benchmark.Product((5, 2, 3), (5, 3, 4), batched),
    ]
    assert [product.flops for product in pair] == [48, 240]
    bare_products(pair)(3)


def test_the_command(capsys):
    arguments = ["benchmark", "--recipe", "concept", "--population", "2"]
    assert main([*arguments, "--steps", "1", "--turns", "1"]) == 0
    said = capsys.readouterr().out
    for words in (
        "in a loop",
        "step by step",
        "2 at once",
        "2 one by one",
        "of its bare products",
        "times one al",
        "of their bare products",
    ):
        assert words in said


@pytest.mark.parametrize("flag", ["population", "steps", "turns"])
def test_numbers_out_of_range(flag, capsys):
    assert main(["benchmark", f"--{flag}", "-1"]) == 2
    assert f"--{flag}: -1 is out of range" in capsys.readouterr().err
