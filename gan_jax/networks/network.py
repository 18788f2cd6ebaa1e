"""What a network is here: two pure functions, in optax's own grammar."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from gan_jax.errors import InputError
from gan_jax.types import Key, Labels, Params

__all__ = ["Network", "from_linen"]


class Network(NamedTuple):
    """A pair of pure functions, which jax traces: they keep nothing, and read nothing that changes.

    ``apply(params, inputs, labels, key)`` maps latents to samples for a generator; for a
    discriminator it maps samples to logits ``[batch]``, or to a `Judgement` if there is more to
    say. ``labels`` is ``[batch]`` int32 or None; ``key`` serves networks with randomness.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Any, Labels | None, Key], Any]


def from_linen(
    module: nn.Module, input_shape: Sequence[int], *, conditional: bool = False
) -> Network:
    """A Flax linen module as a `Network`.

    Args:
        module: called with one array ``[batch, *input_shape]``, and if conditional with the
            labels ``[batch]`` behind it. A generator returns samples; a discriminator logits
            ``[batch]`` or a `Judgement`.
        input_shape: shape of one row of its input: ``(latent_size,)`` or the sample shape.
        conditional: whether the module takes labels.

    Raises:
        InputError: the module keeps state besides its parameters (batch statistics, say), which
            a pure step cannot carry.
    """
    example: tuple[np.ndarray, ...] = (np.zeros((1, *input_shape), np.float32),)
    if conditional:
        example += (np.zeros(1, np.int32),)

    def init(key: Key) -> Params:
        variables = module.init(key, *example)
        others = sorted(set(variables) - {"params"})
        if others:
            raise InputError(
                f"{type(module).__name__} keeps state in {', '.join(others)}; a network here holds "
                "parameters only: use layer or spectral normalisation in place of batch statistics"
            )
        return variables["params"]

    @functools.partial(jax.jit, inline=True)  # a step calls it several times: traced once a shape
    def apply(params: Params, inputs: Any, labels: Labels | None, key: Key) -> Any:
        arguments = (inputs, labels) if conditional else (inputs,)
        return module.apply({"params": params}, *arguments, rngs={"dropout": key})

    return Network(init, apply)
