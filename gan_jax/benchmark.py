"""How fast this device trains a GAN: in a loop, step by step, many at once, and what to expect.

What to expect is the rate of the step's own matrix products, one after the other (a step may do
better where two of them can run side by side). Everything is measured in turns, after a first call
that compiles, so that a machine whose speed drifts does not favour one side; `gan-jax benchmark`
and the scripts in ``benchmarks/`` share this code.
"""

import functools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core as jex

from gan_jax.assembly import from_config
from gan_jax.config import Config
from gan_jax.data import Part, load
from gan_jax.data.stream import Stream, make_stream
from gan_jax.environment import many_steps
from gan_jax.gan import GAN
from gan_jax.loops import advance, one_by_one, population
from gan_jax.progress import describe_device
from gan_jax.state import GANState

__all__ = [
    "Product",
    "Run",
    "bare_products",
    "in_turns",
    "loop",
    "measure",
    "population_programs",
    "products",
    "report",
    "table",
]

Run = Callable[[int], None]  # does so many steps and waits for them


class Product(NamedTuple):
    """One matrix product: `jax.lax.dot_general` of these shapes over these dimensions."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dimensions: Any
    precision: Any = "highest"
    dtype: Any = jnp.float32  # of its factors; sums and result are float32

    @property
    def flops(self) -> int:
        """A multiplication and an addition for each of its inner products' terms."""
        (_, contracted), (_, batched) = self.dimensions
        columns = [n for d, n in enumerate(self.right) if d not in (*contracted, *batched)]
        return 2 * int(np.prod(self.left)) * int(np.prod(columns))


def in_turns(runs: Mapping[str, Run], steps: int, turns: int) -> dict[str, list[float]]:
    """Steps a second of each, one figure a turn; each has been called once before.

    Every turn begins with a tenth of its steps untimed: the threads of what ran before may still be
    spinning, waiting for more.
    """
    for run in runs.values():
        run(1)
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns):
        for name in runs if turn % 2 == 0 else reversed(list(runs)):
            runs[name](-(-steps // 10))
            start = time.perf_counter()
            runs[name](steps)
            rates[name].append(steps / (time.perf_counter() - start))
    return rates


def measure(config: Config, data: Part, members: int = 0) -> dict[str, Run]:
    """What there is to time of a config's GAN on these rows, by name.

    Args:
        config: the GAN; its sample shape has to be that of the rows.
        data: rows to train on.
        members: also a population of so many, by vmap and one by one, whose steps count once
            however many it has.
    """
    gan = from_config(config)
    stream = make_stream(
        data, config.batch_size * config.discriminator_steps, config.data_seed, 100
    )
    runs = {
        "in a loop": loop(
            advance(gan.train_step, stream.take), gan.init(jax.random.key(config.seed)), stream
        ),
        "step by step": _step_by_step(gan, gan.init(jax.random.key(config.seed)), stream),
        "bare products": _products_of_steps(gan, stream),
    }
    if members:
        keys = jax.random.split(jax.random.key(config.seed), members)
        for way, program in population_programs(gan, stream).items():
            runs[f"{members} {way}"] = loop(program, population(gan).init(keys), stream)
        runs[f"{members} bare products"] = _products_of_steps(gan, stream, members)
    return runs


def population_programs(gan: GAN, stream: Stream) -> dict[str, Callable[..., Any]]:
    """The ways to do many steps of a population, each ``(states, source, picks, count)``."""
    return {
        "at once": advance(population(gan).train_step, stream.take),
        "one by one": one_by_one(advance(gan.train_step, stream.take)),
    }


def loop(advanced: Callable[..., Any], state: GANState, stream: Stream) -> Run:
    """As ``gan-jax train`` runs them: many steps a program."""
    options = many_steps(jax.default_backend())
    program = jax.jit(advanced, donate_argnums=0, compiler_options=options)
    picks, length = stream.picks(0), stream.shape.shape[0]

    def run(steps: int) -> None:
        nonlocal state
        while steps > 0:
            count = min(steps, length)
            state, _ = program(state, stream.source, picks, np.int32(count))
            steps -= count
        jax.block_until_ready(state)

    return run


def _step_by_step(gan: GAN, state: GANState, stream: Stream) -> Run:
    """One program call a step, as in a loop of the user's own."""

    def one(state: GANState, source: Any, pick: jax.Array):
        return gan.train_step(state, stream.take(source, pick))

    step, picks = jax.jit(one, donate_argnums=0), list(stream.picks(0))

    def run(steps: int) -> None:
        nonlocal state
        for index in range(steps):
            state, _ = step(state, stream.source, picks[index % len(picks)])
        jax.block_until_ready(state)

    return run


def products(
    gan: GAN, stream: Stream, members: int = 0, *, penalized: bool = True
) -> list[Product]:
    """All matrix products of one step, of so many GANs at once, without those nothing needs.

    Where only some steps take their penalties, ``penalized`` says of which kind the step is.
    """
    key = jax.random.key(0)
    if members:
        gan, key = population(gan), jax.random.split(key, members)
    state = jax.eval_shape(gan.init, key)
    pick = jax.ShapeDtypeStruct(stream.shape.shape[1:], stream.shape.dtype)
    batch = jax.eval_shape(stream.take, stream.source, pick)
    return list(_dots(jax.make_jaxpr(gan.train_step)(state, batch).jaxpr, penalized))


def _products_of_steps(gan: GAN, stream: Stream, members: int = 0) -> Run:
    """The bare products of as many steps of each kind as there are among so many."""
    penalized = bare_products(products(gan, stream, members))
    if gan.game.unpenalized_loss is None:
        return penalized
    others = bare_products(products(gan, stream, members, penalized=False))

    def run(steps: int) -> None:
        count = round(steps / gan.game.penalty_interval)
        penalized(count)
        others(steps - count)

    return run


def _dots(jaxpr: jex.Jaxpr, condition: bool = True) -> Iterator[Product]:
    """As XLA will: what is computed twice counts once, and what nothing needs not at all.

    Of two ways that a condition decides between, the one that it leads to counts.
    """
    same: dict[Any, Any] = {}  # a variable -> the one that was computed alike before it

    def first(v: Any) -> Any:
        return v if isinstance(v, jex.Literal) else same.get(v, v)

    computed: dict[Any, Any] = {}
    for equation in jaxpr.eqns:
        inputs = tuple(str(v) if isinstance(v, jex.Literal) else first(v) for v in equation.invars)
        key = (equation.primitive, inputs, str(equation.params))
        before = computed.setdefault(key, equation.outvars)
        same.update(zip(equation.outvars, before, strict=True))
    live = {first(v) for v in jaxpr.outvars if not isinstance(v, jex.Literal)}
    for equation in reversed(jaxpr.eqns):
        if live.isdisjoint(equation.outvars):
            continue
        live.update(first(v) for v in equation.invars if not isinstance(v, jex.Literal))
        if equation.primitive.name == "dot_general":
            left, right = (tuple(v.aval.shape) for v in equation.invars)  # type: ignore
            yield Product(
                left,
                right,
                equation.params["dimension_numbers"],
                equation.params["precision"],
                equation.invars[0].aval.dtype,  # type: ignore
            )
        inside = list(jex.jaxprs_in_params(equation.params))
        if equation.primitive.name == "cond" and len(inside) == 2:
            inside = [inside[condition]]
        for inner in inside:
            yield from list(_dots(inner, condition)) * equation.params.get("length", 1)


def bare_products(products: list[Product]) -> Run:
    """A step that is nothing but these products, one after the other."""
    some = np.random.default_rng(0).standard_normal(2**16, np.float32)

    def draw(shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jnp.asarray(np.resize(some, shape), dtype)  # no shape has to be compiled

    lefts = [draw(p.left, p.dtype) for p in products]
    rights = [draw(p.right, p.dtype) for p in products]

    @functools.partial(jax.jit, compiler_options=many_steps(jax.default_backend()))
    def program(lefts: list[jax.Array], rights: list[jax.Array], count: int) -> jax.Array:
        def step(_: jax.Array, carry: tuple[jax.Array, list[jax.Array]]):
            result, lefts = carry
            written = []
            for left, right, product in zip(lefts, rights, products, strict=True):
                # Each waits for the one before, as most do in a step: one number of its left
                # factor, carried along so as to be overwritten in place, comes from there.
                left = left.at[(0,) * left.ndim].set((1e-9 * result).astype(left.dtype))
                written.append(left)
                result = jax.lax.dot_general(
                    left,
                    right,
                    product.dimensions,
                    precision=product.precision,
                    preferred_element_type=jnp.float32,
                ).ravel()[0]
            return result, written

        return jax.lax.fori_loop(0, count, step, (jnp.float32(0.0), lefts))[0]

    return lambda steps: jax.block_until_ready(program(lefts, rights, steps)) and None


def report(config: Config, members: int, steps: int, turns: int) -> Iterator[str]:
    """What ``gan-jax benchmark`` prints, line by line."""
    data = load("digits").train
    assert isinstance(data, Part)
    yield describe_device(config.precision)
    yield f"{config.recipe}, batches of {config.batch_size}: {turns} turns of {steps} steps"
    rates = in_turns(measure(config, data, members), steps, turns)
    yield table(rates)
    median = {name: statistics.median(values) for name, values in rates.items()}
    yield f"a loop makes {median['in a loop'] / median['bare products']:.0%} of its bare products"
    yield f"a call a step makes {median['step by step'] / median['in a loop']:.0%} of the loop"
    if members:
        for how in ("at once", "one by one"):
            cost = median["in a loop"] / (median[f"{members} {how}"] * members)
            yield f"one GAN of {members} {how} costs {cost:.2f} times one alone"
        share = median[f"{members} at once"] / median[f"{members} bare products"]
        yield f"{members} at once make {share:.0%} of their bare products"


def table(rates: Mapping[str, list[float]]) -> str:
    """Name, median, least and most steps a second, a line each."""
    width = max(map(len, rates))

    def figure(rate: float) -> str:
        return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"

    return "\n".join(
        f"{name:{width}}  {figure(statistics.median(values)):>9} steps/s   "
        f"({figure(min(values))} to {figure(max(values))})"
        for name, values in rates.items()
    )
