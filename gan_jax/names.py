"""Which names there are of losses, networks and the like, where no jax is to be loaded."""

from typing import Any

from gan_jax.config import Config
from gan_jax.errors import lookup
from gan_jax.evaluation.verdict import VERDICTS, verdicts_in
from gan_jax.recipes import RECIPES

__all__ = ["FROM_DATA", "NAMES", "refuse_unknown_names", "value_at"]

# What --help offers; the tables themselves are where jax is, and a test compares.
NAMES = {
    "--recipe": tuple(RECIPES),
    "--loss": (
        "minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, "
        "relativistic_average, softmax, boundary_seeking"
    ).split(", "),
    "--penalties.NAME": "r1, r2, wgan_gp, wgan_gp_one_sided, dragan".split(", "),
    "--terms.NAME": "classes, semi_supervised, information, smoothing, fake_smoothing".split(", "),
    "--PLAYER.name": "mlp, residual_mlp, dcgan".split(", "),
    "--PLAYER.activation": (
        "relu, leaky_relu, silu, leaky_silu, gelu, elu, tanh, sigmoid, identity"
    ).split(", "),
    "--PLAYER.normalization": ("none", "layer", "spectral"),
    "--PLAYER.initializer": "uniform_fan_in, lecun_normal, he_normal".split(", "),
    "--generator.condition": ("none", "concatenate"),
    "--discriminator.condition": ("none", "concatenate", "projection"),
    "--discriminator.head": ("none", "classes", "semi_supervised", "codes"),
    "--PLAYER-optimizer.name": "adam, optimistic_adam, optimistic_sgd, rmsprop, sgd".split(", "),
    "--decay.shape": ("constant", "linear", "cosine"),
    "--dynamics.name": "alternating, simultaneous, extragradient, consensus, unrolled".split(", "),
    "--precision": ("float32", "tf32", "bfloat16"),
    "--best-by": (
        "frechet_distance, kernel_distance, sliced_wasserstein, precision, recall, density, "
        "coverage, classifier_score, class_total_variation, class_reverse_kl, label_consistency"
    ).split(", "),
    "--stop-when": VERDICTS,
}

# What the data decide, and no option: by nested name.
FROM_DATA = ("sample-shape", "classes", "generator.last-activation")


def refuse_unknown_names(config: Config) -> None:
    """Refuse what `NAMES` does not hold, long before the tables themselves are imported.

    Raises:
        InputError: it names the field.
    """
    verdicts_in("stop_when", config.stop_when)
    for flag, names in NAMES.items():
        # A config made in Python is of no recipe, and `recipe` has refused any other name.
        if flag in ("--recipe", "--stop-when"):
            continue
        players = ("generator", "discriminator") if "PLAYER" in flag else ("",)
        for player in players:
            field = flag.removeprefix("--").replace("PLAYER", player).replace("-", "_")
            field = field.removesuffix(".NAME")
            value = value_at(config, field)
            for name in (value,) if isinstance(value, str) else value:
                lookup(field, name, dict.fromkeys(names))


def value_at(config: Config, name: str) -> Any:
    """The value of that nested name, as options or fields have it."""
    value: Any = config
    for part in name.replace("-", "_").split("."):
        value = getattr(value, part)
    return value
