"""How near a step comes to what this machine can do, and where the rest goes.

    python benchmarks/roofline.py [--size concept|gan|wide] [--precision NAME] [--json FILE]

Counted: the operations of a step's matrix products, beside XLA's own count of the whole step, and
the bytes that a step cannot help moving (its state read and written, its rows read).

The products of each shape, by XLA (whole, and cut into two and four of fewer rows), NumPy's
OpenBLAS and PyTorch (oneDNN and MKL; where it is installed), one library after the other; the
fastest of each make the roof: what a step would take that is nothing but these products, each by
its fastest maker. The fastest of XLA's alone make the roof of a step that XLA compiles.

In turns: the steps in a loop, and the same with one thing left out: latents drawn, the
optimisers (plain gradient descent in their place), gradient norms, rows gathered, the average;
and with dispatch put in, one program call a step. Where PyTorch is installed, also its steps: by
what factor they take longer than the roof is the most that any step could gain on them.
"""

import argparse
import collections
import dataclasses
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record
from memory import bytes_of
from sizes import SIZES, size
from train_throughput import peer_runs

from gan_jax import assembly, environment
from gan_jax.assembly import from_config
from gan_jax.benchmark import Product, Run, bare_products, in_turns, loop, measure, products, table
from gan_jax.config import Config, OptimizerConfig
from gan_jax.data import Part, load
from gan_jax.data.stream import Stream, make_stream
from gan_jax.gan import GAN
from gan_jax.loops import advance

try:
    import torch  # pyright: ignore[reportMissingImports]
except ImportError:
    torch = None

SQUARE = (1_024, 1_024)  # large enough for any kernel, small enough for the caches
PLAIN = (((1,), (0,)), ((), ()))  # rows by columns


def counts(gan: GAN, stream: Stream) -> dict[str, float]:
    """Operations and bytes of one step."""
    state = gan.init(jax.random.key(0))
    batch = stream.take(stream.source, stream.picks(0)[0])
    analysis = jax.jit(gan.train_step).lower(state, batch).compile().cost_analysis() or {}
    return {
        "product_flops": sum(product.flops for product in products(gan, stream)),
        "xla_flops": analysis["flops"],
        "least_bytes": 2 * bytes_of(state) + bytes_of(batch),
        "xla_bytes": analysis["bytes accessed"],
    }


def makers(product: Product, copies: int) -> dict[str, Run]:
    """That many of one product at each step, by all that can make it."""
    runs = {"XLA": bare_products([product] * copies)}
    (((left_axis,), (right_axis,)), batched) = product.dimensions
    if batched != ((), ()) or jnp.dtype(product.dtype) != jnp.float32:
        return runs
    rows = product.left[1 - left_axis]
    for parts in (2, 4):
        if rows % parts == 0 and product.flops > 1e7:  # smaller ones are little but overhead
            left = (rows // parts, product.left[left_axis])
            piece = product._replace(left=left if left_axis == 1 else left[::-1])
            runs[f"XLA in {parts}"] = bare_products([piece] * copies * parts)
    random = np.random.default_rng(0)
    left = random.standard_normal(product.left, np.float32)
    right = random.standard_normal(product.right, np.float32)
    # Views: whether a factor is transposed is part of the shape.
    left, right = (left.T if left_axis == 0 else left), (right.T if right_axis == 1 else right)

    def repeat(multiply: Callable[..., Any], left: Any, right: Any, out: Any) -> Run:
        def run(steps: int) -> None:
            for _ in range(steps * copies):
                multiply(left, right, out=out)

        return run

    shape = (len(left), right.shape[1])
    runs["NumPy"] = repeat(np.matmul, left, right, np.empty(shape, np.float32))
    if torch:
        pair = torch.from_numpy(left), torch.from_numpy(right)
        runs["PyTorch"] = repeat(torch.mm, *pair, torch.empty(shape))
    return runs


def seconds_by_maker(product: Product, turns: int, flops: float) -> dict[str, float]:
    """Median seconds of one product, by what makes it, in turns of about so many operations."""
    bytes_each = 4 * (math.prod(product.left) + math.prod(product.right))
    # A loop on less than a megabyte is compiled in another way (see gan_jax/environment.py), but
    # thousands of a product that is smaller yet take the compiler longer than all else here.
    copies = min(1 + 2_000_000 // bytes_each, 100)
    # But the smallest are all overhead, and slow: a few thousand do.
    steps = math.ceil(min(flops / product.flops, 5_000) / copies)
    # Each by itself: three libraries' idle threads in one process halve each other's rates.
    rates = {
        maker: in_turns({maker: run}, steps, turns)[maker]
        for maker, run in makers(product, copies).items()
    }
    return {maker: 1 / (copies * statistics.median(r)) for maker, r in rates.items()}


def without(config: Config, stream: Stream) -> dict[str, Run]:
    """A loop of whole steps, and of steps that lack one thing each."""
    whole = from_config(config)
    descent = OptimizerConfig(name="sgd", learning_rate=1e-6)
    plain = dataclasses.replace(
        config, generator_optimizer=descent, discriminator_optimizer=descent
    )
    latents = whole.game.draw_latents(jax.random.key(0), config.batch_size)
    batch = stream.take(stream.source, stream.picks(0)[0])

    def no_norms(state: Any, batch: Any):
        state, metrics = whole.train_step(state, batch)
        zero = jnp.float32(0.0)
        return state, metrics._replace(
            generator_gradient_norm=zero, discriminator_gradient_norm=zero, finite=jnp.bool_(True)
        )

    def no_average(state: Any, batch: Any):
        after, metrics = whole.train_step(state, batch)
        return dataclasses.replace(after, average=state.average), metrics

    def run(gan: GAN, step: Callable[..., Any] | None = None, take: Any = stream.take) -> Run:
        state = gan.init(jax.random.key(config.seed))
        return loop(advance(step or gan.train_step, take), state, stream)

    return {
        "whole": run(whole),
        "latents": run(_with_latents(config, latents)),
        "optimisers": run(from_config(plain)),
        "gradient norms": run(whole, no_norms),
        "rows gathered": run(whole, take=lambda source, pick: batch),
        "average": run(whole, no_average),
    }


def _with_latents(config: Config, latents: Any) -> GAN:
    """The GAN of a config, but for latents that never change."""
    kept = assembly._latents
    assembly._latents = lambda *_: lambda key, count: latents
    try:
        return from_config(config)
    finally:
        assembly._latents = kept


def roof(
    shapes: dict[Product, int], times: dict[Product, dict[str, float]], makers: str = ""
) -> float:
    """Seconds of a step's products, each by the fastest maker whose name begins so."""
    return sum(
        count * min(s for maker, s in times[product].items() if maker.startswith(makers))
        for product, count in shapes.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="a step against the limits of this machine")
    parser.add_argument("--size", choices=SIZES, default="concept")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--steps", type=int, default=300, help="of each turn")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    environment.prepare()
    # With its penalties at every step, or there would be two kinds of step.
    config = dataclasses.replace(
        size(arguments.size), precision=arguments.precision, penalty_interval=1
    )
    data = load("digits").train
    assert isinstance(data, Part)
    gan = from_config(config)
    rows = config.batch_size * config.discriminator_steps
    stream = make_stream(data, rows, config.data_seed, 100)
    steps, turns = arguments.steps, arguments.turns

    counted = counts(gan, stream)
    print(
        f"products {counted['product_flops'] / 1e6:,.1f} MFLOP a step (XLA counts "
        f"{counted['xla_flops'] / 1e6:,.1f} in all), at least "
        f"{counted['least_bytes'] / 1e6:,.2f} MB moved"
    )

    shapes = collections.Counter(products(gan, stream))
    times: dict[Product, dict[str, float]] = {}
    for product in sorted(shapes, key=lambda p: -shapes[p] * p.flops):
        times[product] = seconds_by_maker(product, turns, 1e8 * steps)
        rate = ", ".join(f"{m} {product.flops / t / 1e9:,.0f}" for m, t in times[product].items())
        print(f"{shapes[product]} of {product.left} by {product.right}: GFLOP/s {rate}")
    best, best_of_xla = roof(shapes, times), roof(shapes, times, "XLA")
    square = next(iter(times))._replace(left=SQUARE, right=SQUARE, dimensions=PLAIN)
    at_most = {
        maker: square.flops / seconds / 1e9
        for maker, seconds in seconds_by_maker(square, turns, 1e8 * steps).items()
    }
    rate = ", ".join(f"{maker} {rate:,.0f}" for maker, rate in at_most.items())
    print(f"a square one of {SQUARE[0]:,}: GFLOP/s {rate}")
    least = counted["product_flops"] / max(at_most.values()) / 1e9
    by_xla = sum(count * times[product]["XLA"] for product, count in shapes.items())

    runs = without(config, stream)
    runs |= {k: v for k, v in measure(config, data).items() if k != "in a loop"}
    peers = peer_runs(config, data)
    rates = in_turns(runs | peers, steps, turns)
    print(table(rates))
    seconds = {name: 1 / statistics.median(values) for name, values in rates.items()}
    whole = seconds["whole"]
    left_out = {
        name: whole - seconds[name]
        for name in ("latents", "optimisers", "gradient norms", "rows gathered", "average")
    }
    for name, saved in left_out.items():
        print(f"without {name}: {1e6 * saved:+,.0f} us less of {1e6 * whole:,.0f}")
    print(f"dispatch, a call a step: {1e6 * (seconds['step by step'] - whole):+,.0f} us more")
    print(
        f"the fastest maker of each product: {1e6 * best:,.0f} us; XLA alone {1e6 * by_xla:,.0f}, "
        f"each cut as is best {1e6 * best_of_xla:,.0f}; a step takes {1e6 * whole:,.0f} and "
        f"reaches {best / whole:.0%} of the first, {seconds['bare products'] / whole:.0%} of its "
        f"bare products, {counted['product_flops'] / whole / 1e9:,.0f} GFLOP/s; at the square "
        f"product's rate they would take {1e6 * least:,.0f}"
    )
    peer = min((seconds[name] for name in peers), default=math.nan)
    if peers:
        print(
            f"the best PyTorch takes {1e6 * peer:,.0f} us: {peer / whole:.2f} times a step, "
            f"{peer / best_of_xla:.2f} times XLA's products, {peer / best:.2f} times the fastest "
            "products: no step can be faster by more"
        )
    if arguments.json:
        listed = [
            {**product._asdict(), "dtype": str(jnp.dtype(product.dtype)), "precision": None}
            | {"count": shapes[product], "flops": product.flops, "seconds": times[product]}
            for product in times
        ]
        figures = {
            "size": arguments.size,
            "precision": arguments.precision,
            "counts": counted,
            "products": listed,
            "rates": rates,
            "left_out_seconds": left_out,
            "roof_seconds": best,
            "square_gflops": at_most,
            "least_seconds": least,
            "roof_of_xla_seconds": best_of_xla,
            "share_of_roof": best / whole,
            "peer_seconds": peer if peers else None,
        }
        record.write(arguments.json, figures)


if __name__ == "__main__":
    main()
