"""Networks behind optax's own grammar, ``Network(init, apply)``. The only file with Flax modules.

Linen, because its modules are stateless: a network here is two pure functions and nothing more,
so hand-written ones and Flax NNX modules fit just as well (the README shows both).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Initializer

from gan_jax.config import DiscriminatorConfig, GeneratorConfig
from gan_jax.errors import InputError, lookup
from gan_jax.precision import product
from gan_jax.types import Key, Labels, Latents, Logits, Params, Samples

__all__ = [
    "ACTIVATIONS",
    "DISCRIMINATORS",
    "GENERATORS",
    "INITIALIZERS",
    "LOUD",
    "Network",
    "from_linen",
    "mlp_discriminator",
    "mlp_generator",
]


class Network(NamedTuple):
    """A pair of pure functions.

    ``apply(params, inputs, labels, key)`` maps latents to samples for a generator; for a
    discriminator it maps samples to logits ``[batch]``, or to a `Judgement` if there is more to
    say. ``labels`` is ``[batch]`` int32 or None; ``key`` serves networks with randomness.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Any, Labels | None, Key], Any]


# Of a one-hot vector among latents: as 16 normals together, or it drowns among them at first.
LOUD = 4.0


def uniform_fan_in(fan_in: int) -> Initializer:
    r"""U(±1/√fan_in) for weights and biases alike: what PyTorch's ``Linear`` starts from."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32, out_sharding: Any = None):
        del out_sharding
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


# name -> (kernel initializer, bias initializer), given the layer's fan-in
INITIALIZERS: Mapping[str, Callable[[int], tuple[Initializer, Initializer]]] = {
    "uniform_fan_in": lambda fan_in: (uniform_fan_in(fan_in), uniform_fan_in(fan_in)),
    "lecun_normal": lambda fan_in: (nn.initializers.lecun_normal(), nn.initializers.zeros_init()),
    "he_normal": lambda fan_in: (nn.initializers.he_normal(), nn.initializers.zeros_init()),
}

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    # DCGAN's slope is 0.2 (arXiv:1511.06434); half of it made better digits.
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.1),
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
    "tanh": jnp.tanh,
    "sigmoid": nn.sigmoid,
    "identity": lambda x: x,
}


class MLP(nn.Module):
    """Dense layers of the given widths, an activation between each two."""

    widths: tuple[int, ...]  # of every layer, the last included
    activation: str
    initializer: str
    precision: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """``[batch, inputs] -> [batch, widths[-1]]``."""
        dot_general = product(self.precision)
        for index, width in enumerate(self.widths):
            if index:
                x = ACTIVATIONS[self.activation](x)
            kernel_init, bias_init = INITIALIZERS[self.initializer](x.shape[-1])
            x = nn.Dense(
                width, kernel_init=kernel_init, bias_init=bias_init, dot_general=dot_general
            )(x)
        return x


class MLPGenerator(nn.Module):
    """Latents, and labels beside them where it is conditional, to samples by dense layers."""

    body: MLP
    last_activation: str
    sample_shape: tuple[int, ...]
    classes: int  # told as a one-hot vector; 0 = none

    def __call__(self, latents: Latents, labels: Labels | None = None) -> Samples:
        """``[batch, latent_size] -> [batch, *sample_shape]``."""
        if self.classes:
            assert labels is not None
            told = LOUD * jax.nn.one_hot(labels, self.classes)
            latents = jnp.concatenate([latents, told], axis=1)
        flat = ACTIVATIONS[self.last_activation](self.body(latents))
        return flat.reshape(flat.shape[0], *self.sample_shape)


class MLPDiscriminator(nn.Module):
    """Samples, and labels beside them where it is conditional, to logits by dense layers."""

    body: MLP
    center: float
    condition: str
    classes: int

    def __call__(self, samples: Samples, labels: Labels | None = None) -> Logits:
        """``[batch, *sample_shape] -> [batch]``."""
        flat = samples.reshape(samples.shape[0], -1) - self.center
        if self.condition == "none":
            return self.body(flat)[:, 0]
        if labels is None:
            raise InputError("discriminator: is conditional; every row needs a label")
        told = jax.nn.one_hot(labels, self.classes)
        if self.condition == "concatenate":
            return self.body(jnp.concatenate([flat, told], axis=1))[:, 0]
        # Features times a vector of all classes, and one of the row's own: both in the last layer.
        output = self.body(flat)
        return output[:, 0] + jnp.sum(output[:, 1:] * told, axis=1)


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

    def apply(params: Params, inputs: Any, labels: Labels | None, key: Key) -> Any:
        arguments = (inputs, labels) if conditional else (inputs,)
        return module.apply({"params": params}, *arguments, rngs={"dropout": key})

    return Network(init, apply)


def mlp_generator(
    config: GeneratorConfig,
    sample_shape: Sequence[int],
    precision: str = "float32",
    classes: int = 0,
) -> Network:
    """Fully-connected generator, ``[batch, latents] -> [batch, *sample_shape]``.

    A conditional one (arXiv:1411.1784) takes labels too; given none, it draws them uniformly.

    Raises:
        InputError: an unknown name, or a condition where there are no classes.
    """
    lookup("generator.last_activation", config.last_activation, ACTIVATIONS)
    _check_condition("generator", config.condition, ("none", "concatenate"), classes)
    body = _body("generator", config, math.prod(sample_shape), precision)
    told = classes if config.condition == "concatenate" else 0
    module = MLPGenerator(body, config.last_activation, tuple(sample_shape), told)
    inputs = (config.latent_size + config.categories,)
    network = from_linen(module, inputs, conditional=told > 0)
    if not told:
        return network

    def apply(params: Params, latents: Latents, labels: Labels | None, key: Key) -> Samples:
        if labels is None:
            labels = jax.random.randint(key, latents.shape[:1], 0, classes)
        return network.apply(params, latents, labels, key)

    return Network(network.init, apply)


def mlp_discriminator(
    config: DiscriminatorConfig,
    sample_shape: Sequence[int],
    precision: str = "float32",
    classes: int = 0,
) -> Network:
    """Fully-connected discriminator, ``[batch, *sample_shape] -> [batch]``.

    A conditional one sees each row's label beside it (``concatenate``, arXiv:1411.1784), or adds
    the product of its last features with a vector of the label's own (``projection``,
    arXiv:1802.05637). A row labelled -1 is judged as one of no class in particular.

    Raises:
        InputError: an unknown name, or a condition where there are no classes.
    """
    condition = config.condition
    _check_condition("discriminator", condition, ("none", "concatenate", "projection"), classes)
    outputs = 1 + classes if condition == "projection" else 1
    body = _body("discriminator", config, outputs, precision)
    module = MLPDiscriminator(body, config.center, condition, classes)
    return from_linen(module, sample_shape, conditional=condition != "none")


def _check_condition(player: str, condition: str, allowed: Sequence[str], classes: int) -> None:
    lookup(f"{player}.condition", condition, dict.fromkeys(allowed))
    if condition != "none" and classes < 2:
        raise InputError(
            f"{player}.condition: {condition!r} needs data with labels of two classes or more"
        )


def _body(
    player: str, config: GeneratorConfig | DiscriminatorConfig, outputs: int, precision: str
) -> MLP:
    lookup(f"{player}.activation", config.activation, ACTIVATIONS)
    lookup(f"{player}.initializer", config.initializer, INITIALIZERS)
    product(precision)  # says now if it cannot be had
    return MLP((*config.widths, outputs), config.activation, config.initializer, precision)


GENERATORS: Mapping[str, Callable[[GeneratorConfig, Sequence[int], str, int], Network]] = {
    "mlp": mlp_generator,
}
DISCRIMINATORS: Mapping[str, Callable[[DiscriminatorConfig, Sequence[int], str, int], Network]] = {
    "mlp": mlp_discriminator,
}
