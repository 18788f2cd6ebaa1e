"""Bytes that training takes, by XLA's own account, against the bytes of what it trains.

    python benchmarks/memory.py [--recipe concept] [--members 1 16 64] [--json FILE]

For populations of those sizes, by vmap and one by one: all that a program of many steps holds at
its worst (states, gradients, activations, what it returns; the data, which all share, left out),
for each member, as a multiple of the bytes of one GAN's state.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import record

from gan_jax import environment
from gan_jax.assembly import from_config
from gan_jax.benchmark import population_programs
from gan_jax.config import Config
from gan_jax.data import Part, load
from gan_jax.data.stream import Stream, make_stream
from gan_jax.loops import population
from gan_jax.recipes import recipe


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays or shapes in a tree; a typed key counts as its data."""

    def leaf_bytes(leaf: Any) -> int:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        return leaf.size * leaf.dtype.itemsize

    return sum(leaf_bytes(leaf) for leaf in jax.tree.leaves(tree))


def held(program: Callable[..., Any], states: Any, stream: Stream) -> int:
    """Bytes that a program of many steps holds at its worst, without those of the data."""
    shared = (stream.source, stream.shape, jax.ShapeDtypeStruct((), np.int32))
    compiled = jax.jit(program, donate_argnums=0).lower(states, *shared).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return (
        memory.temp_size_in_bytes
        + memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes  # what is updated in place is no second copy
        - bytes_of(shared)
    )


def measure(config: Config, sizes: list[int]) -> dict[str, Any]:
    """The state's bytes, and by way and number of members the multiple of it that each takes."""
    data = load("digits").train
    assert isinstance(data, Part)
    gan = from_config(config)
    stream = make_stream(
        data, config.batch_size * config.discriminator_steps, config.data_seed, 100
    )
    state_bytes = bytes_of(jax.eval_shape(gan.init, jax.random.key(0)))
    ways = population_programs(gan, stream)
    multiples: dict[str, dict[int, float]] = {way: {} for way in ways}
    for members in sizes:
        states = jax.eval_shape(population(gan).init, jax.random.split(jax.random.key(0), members))
        for way, program in ways.items():
            multiples[way][members] = held(program, states, stream) / members / state_bytes
    return {"state_bytes": state_bytes, "multiples": multiples}


def main() -> None:
    parser = argparse.ArgumentParser(description="bytes of training against bytes of its state")
    parser.add_argument("--recipe", default="concept")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    environment.prepare()
    found = measure(recipe(arguments.recipe), arguments.members)
    print(f"state of one {arguments.recipe}: {found['state_bytes'] / 1e6:.2f} MB")
    for way, multiples in found["multiples"].items():
        for members, multiple in multiples.items():
            print(f"{members:4} {way:10}  {multiple:.2f} times that each")
    if arguments.json:
        record.write(arguments.json, {"recipe": arguments.recipe, **found})


if __name__ == "__main__":
    main()
