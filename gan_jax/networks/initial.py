"""Initial values, all of a player's by one draw: each further one takes longer to compile."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from gan_jax.networks.network import Network
from gan_jax.types import Key, Params

__all__ = ["INITIALIZERS", "initialized"]


class Initializer(NamedTuple):
    """Independent numbers about 0, times what depends on a layer's fan-in."""

    draw: Callable[[Key, int], jax.Array]  # so many of them, [count]
    spread: Callable[[int], float]  # given the fan-in
    biases: bool  # whether they are drawn as weights are; else they are 0


def _uniform(key: Key, count: int) -> jax.Array:
    return jax.random.uniform(key, (count,), jnp.float32, -1.0, 1.0)


def _normal(key: Key, count: int) -> jax.Array:
    """Of variance 1 once they are cut at two, as Flax's initializers and Keras's."""
    return jax.random.truncated_normal(key, -2.0, 2.0, (count,), jnp.float32) / 0.8796256610342398


INITIALIZERS: Mapping[str, Initializer] = {
    # What PyTorch's Linear starts from: U(±1/√fan_in), weights and biases alike.
    "uniform_fan_in": Initializer(_uniform, lambda fan_in: fan_in**-0.5, True),
    "lecun_normal": Initializer(_normal, lambda fan_in: fan_in**-0.5, False),
    "he_normal": Initializer(_normal, lambda fan_in: (2.0 / fan_in) ** 0.5, False),
}


def initialized(network: Network, name: str) -> Network:
    """A network of Flax layers with other initial values, by an entry of `INITIALIZERS`.

    Those of a layer's ``kernel [..., inputs, outputs]`` and of a ``bias`` beside it; of a layer
    without a kernel, which normalises, ``scale`` is 1 and ``bias`` 0.
    """
    draw, spread, biases = INITIALIZERS[name]

    def init(key: Key) -> Params:
        shapes: Any = flatten_dict(jax.eval_shape(network.init, key))
        numbers = draw(key, sum(leaf.size for leaf in shapes.values()))
        values, start = {}, 0
        for path, leaf in shapes.items():
            kernel = shapes.get((*path[:-1], "kernel"))
            if kernel is not None and (path[-1] == "kernel" or biases):
                own = numbers[start : start + leaf.size].reshape(leaf.shape)
                values[path] = own * spread(math.prod(kernel.shape[:-1]))
                start += leaf.size
            else:
                values[path] = jnp.full(leaf.shape, float(path[-1] == "scale"), leaf.dtype)
        return unflatten_dict(values)

    return Network(init, network.apply)
