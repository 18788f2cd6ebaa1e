"""Optimisers by name, with the learning rate as an array in their state.

The rate in the state is the peak; the decay multiplies it by a factor that starts at 1. So a
sweep over rates is only a `vmap`, and where a decay ends never depends on where a run stops.
"""

from collections.abc import Callable, Mapping

import optax

from gan_jax.config import DecayConfig, OptimizerConfig
from gan_jax.errors import lookup

__all__ = ["DECAYS", "OPTIMIZERS", "make_optimizer"]


def _adam(config: OptimizerConfig, learning_rate: optax.ScalarOrSchedule):
    return optax.adam(learning_rate, config.b1, config.b2, config.epsilon)


def _sgd(config: OptimizerConfig, learning_rate: optax.ScalarOrSchedule):
    return optax.sgd(learning_rate)


OPTIMIZERS: Mapping[str, Callable[..., optax.GradientTransformation]] = {
    "adam": _adam,  # arXiv:1412.6980
    "sgd": _sgd,
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
        moves = make(config, learning_rate)
        return optax.chain(moves, optax.scale_by_schedule(schedule))

    return optax.inject_hyperparams(scheduled)(learning_rate=config.learning_rate)
