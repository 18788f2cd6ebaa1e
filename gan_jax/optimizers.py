"""Optimisers by name, with the learning rate as an array in their state.

The rate in the state is the peak; the decay multiplies it by a factor that starts at 1. So a
sweep over rates is only a `vmap`, and where a decay ends never depends on where a run stops.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from gan_jax.config import DecayConfig, OptimizerConfig
from gan_jax.errors import lookup

__all__ = ["DECAYS", "OPTIMIZERS", "clip_weights", "make_optimizer"]


# Under Adam's root, which has no slope at 0: there a unit that is dead for a batch would make every
# gradient through a step NaN. Too little to change a step.
_ROOT = 1e-20


def _adam(config: OptimizerConfig, rate: optax.ScalarOrSchedule):
    return optax.adam(rate, config.b1, config.b2, config.epsilon, _ROOT)


def _optimistic_adam(config: OptimizerConfig, rate: optax.ScalarOrSchedule):
    b1, b2, epsilon = config.b1, config.b2, config.epsilon
    return optax.optimistic_adam_v2(rate, b1=b1, b2=b2, eps=epsilon, eps_root=_ROOT, nesterov=False)


def _rmsprop(config: OptimizerConfig, rate: optax.ScalarOrSchedule):
    return optax.rmsprop(rate, config.b2, config.epsilon)


OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": _adam,  # arXiv:1412.6980
    "optimistic_adam": _optimistic_adam,  # arXiv:1711.00141
    "optimistic_sgd": lambda config, rate: optax.optimistic_gradient_descent(rate),
    "rmsprop": _rmsprop,
    "sgd": lambda config, rate: optax.sgd(rate),
}

DECAYS: Mapping[str, Callable[[int], optax.Schedule]] = {
    "constant": lambda horizon: optax.constant_schedule(1.0),
    "linear": lambda horizon: optax.linear_schedule(1.0, 0.0, horizon),
    "cosine": lambda horizon: optax.cosine_decay_schedule(1.0, horizon),  # arXiv:1608.03983
}


def make_optimizer(
    player: str, config: OptimizerConfig, decay: DecayConfig
) -> optax.GradientTransformation:
    """The optimiser of one player; ``player`` names the Config table in error messages.

    Its state keeps the peak rate as ``hyperparams["learning_rate"]``.

    Raises:
        InputError: an unknown name.
    """
    make = lookup(f"{player}_optimizer.name", config.name, OPTIMIZERS)
    schedule = lookup("decay.shape", decay.shape, DECAYS)(decay.horizon)

    # A schedule given to inject_hyperparams itself would overwrite the rate in the state.
    def scheduled(learning_rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
        moves = [make(config, learning_rate), optax.scale_by_schedule(schedule)]
        return optax.chain(*moves, *([clip_weights(config.clip)] if config.clip else []))

    return optax.inject_hyperparams(scheduled)(learning_rate=config.learning_rate)


def clip_weights(limit: float) -> optax.GradientTransformation:
    """As the last transformation: no weight leaves [-limit, limit] (WGAN, arXiv:1701.07875)."""

    def update(updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None):
        assert params is not None, "the step passes them"

        def clipped(update: jax.Array, weight: jax.Array) -> jax.Array:
            return jnp.clip(weight + update, -limit, limit) - weight

        return jax.tree.map(clipped, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
