"""`Config`: everything that determines a run, as frozen records of primitives. Loads no jax.

A `Config` goes to TOML or JSON and comes back equal. Names of losses, networks and the like are
plain strings here; the tables that know them are on the pure floor, where `from_config` looks
them up.
"""

import dataclasses
import inspect
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

from gan_jax.errors import InputError, suggestion

__all__ = [
    "Config",
    "DecayConfig",
    "DiscriminatorConfig",
    "DynamicsConfig",
    "GeneratorConfig",
    "NoiseConfig",
    "OptimizerConfig",
    "comments",
]


class Range(NamedTuple):
    """The values a number may take, both ends included."""

    low: float
    high: float

    def __str__(self) -> str:
        ends = (f"{end:,.0f}" if float(end).is_integer() else f"{end:g}" for end in self)
        return " to ".join(ends)


Count = Annotated[int, Range(1, 10**9)]
Width = Annotated[int, Range(1, 65_536)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Rate = Annotated[float, Range(0.0, 1e3)]
Weight = Annotated[float, Range(0.0, 1e6)]
# Strictly below 1: a memory that forgets nothing never leaves its initial value.
Memory = Annotated[float, Range(0.0, 0.999999)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator: latents to samples."""

    name: str = "mlp"  # which network
    latent_size: Width = 64  # standard normal numbers per sample
    categories: Annotated[int, Range(0, 65_536)] = 0  # also one of so many, as a one-hot vector
    temperature: Rate = 1.0  # deviation of the normals it samples from; in training it is 1
    condition: str = "none"  # how it is told the label asked for: none or concatenate
    widths: tuple[Width, ...] = (512, 512)  # of the hidden layers
    activation: str = "leaky_relu"  # between layers
    normalization: str = "none"  # of hidden layers: none, layer or spectral
    last_activation: str = "tanh"  # from the data: tanh for images, identity otherwise
    initializer: str = "uniform_fan_in"  # of weights and biases


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The discriminator: samples to one logit each."""

    name: str = "mlp"  # which network
    widths: tuple[Width, ...] = (512, 512)  # of the hidden layers
    activation: str = "leaky_relu"  # between layers
    normalization: str = "none"  # of hidden layers: none, layer or spectral
    center: Annotated[float, Range(-1e6, 1e6)] = 0.0  # subtracted from what it sees; black is -1
    condition: str = "none"  # how it is told each row's label: none, concatenate or projection
    head: str = "none"  # what else it tells: none, classes, semi_supervised or codes
    codes: Annotated[int, Range(0, 65_536)] = 2  # normals among the latents, told by head codes
    minibatch_deviation: bool = False  # whether it sees how much the batch deviates
    shift: Annotated[int, Range(0, 1024)] = 0  # pixels by which half of what it sees move at most
    pack: Annotated[int, Range(1, 1024)] = 1  # samples that it judges together
    initializer: str = "uniform_fan_in"  # of weights and biases


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """One player's optimiser."""

    name: str = "adam"  # which optimiser
    learning_rate: Rate = 1e-3  # at its peak
    b1: Memory = 0.0  # Adam's memory of the gradient
    b2: Memory = 0.99  # Adam's memory of its square
    epsilon: Annotated[float, Range(1e-30, 1.0)] = 1e-8  # keeps Adam's division finite
    clip: Weight = 0.0  # the most that a weight may be, either way; 0 = no limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecayConfig:
    """How both learning rates fall."""

    shape: str = "constant"  # constant, linear or cosine
    horizon: Count = 1_000_000  # steps until the rate has reached zero, wherever the run stops


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicsConfig:
    """Who moves when."""

    name: str = "alternating"  # or simultaneous, extragradient, consensus, unrolled
    consensus: Weight = 0.1  # weight of both gradients' squared norm; of consensus alone
    unroll: Annotated[int, Range(0, 1000)] = 5  # moves looked ahead; of unrolled alone


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseConfig:
    """Noise on every sample that the discriminator is shown."""

    deviation: Rate = 0.0  # at first; images span -1 to 1
    horizon: Count = 1_000_000  # steps until it is gone, in proportion


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that determines a run. The defaults are no recipe: see `recipes`."""

    recipe: str = "custom"  # named values to start from, which all else changes
    dataset: str = "digits"  # or mnist, fashion_mnist, kmnist, ring, grid, another name, or a path
    data_dir: str = ""  # where tensorflow-datasets keeps its files; empty = its own default
    validation: Annotated[float, Range(0.0, 0.9)] = 0.0  # share of rows to judge by on the way
    sample_shape: tuple[Width, ...] = (28, 28, 1)  # from the data
    classes: Annotated[int, Range(0, 65_536)] = 0  # from the data; 0 = it has no labels

    seed: Seed = 0  # of parameters, latents and everything else the game draws
    data_seed: Seed = 0  # of the order of rows
    steps: Count = 10_000  # where to stop; nothing else depends on it
    batch_size: Width = 64  # rows for each move of the discriminator

    loss: str = "relativistic"  # what each player minimises
    penalties: dict[str, Weight] = dataclasses.field(default_factory=dict)  # gamma, by name
    penalty_interval: Count = 1  # steps between penalties, which then weigh so many times as much
    terms: dict[str, Weight] = dataclasses.field(default_factory=dict)  # weight, by name
    noise: NoiseConfig = NoiseConfig()
    dynamics: DynamicsConfig = DynamicsConfig()
    discriminator_steps: Annotated[int, Range(1, 1000)] = 1  # its moves in a step
    generator_steps: Annotated[int, Range(1, 1000)] = 1  # moves of the generator behind them
    average_decay: Memory = 0.0  # memory of the averaged generator, which samples

    precision: str = "float32"  # of matrix products: float32, tf32 or bfloat16
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    generator_optimizer: OptimizerConfig = OptimizerConfig()  # The generator's optimiser.
    discriminator_optimizer: OptimizerConfig = OptimizerConfig()  # The discriminator's optimiser.
    decay: DecayConfig = DecayConfig()

    log_interval: Count = 100  # steps between lines of metrics.jsonl
    picture_interval: Count = 1_000  # steps between pictures
    checkpoint_interval: Count = 5_000  # steps between checkpoints
    evaluation_interval: Annotated[int, Range(0, 10**9)] = 0  # steps between evaluations; 0 = none
    best_by: str = "frechet_distance"  # which metric's best checkpoint is kept
    stop_when: str = ""  # verdicts that end it, with commas between

    def validate(self) -> None:
        """Check every value; names of parts are for `from_config`.

        Raises:
            InputError: names the field, the value found and the values allowed.
        """
        _validate_record(self, "")
        if not self.recipe:
            raise InputError("recipe: '' found; a name is needed")

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of primitives, complete, ready for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], base: "Config | None" = None) -> "Config":
        """`base` (the defaults, if none) with these values in place of its own.

        Raises:
            InputError: an unknown field, a value of another type, or one out of its range.
        """
        config = _read_record(base or cls(), values, "")
        config.validate()
        return config

    def to_toml(self, *, comments: bool = False) -> str:
        """Complete TOML text, which `from_toml` reads back equal; what each value is, if asked."""
        import tomli_w  # here, because reusing the step needs no TOML

        text = tomli_w.dumps(self.to_dict())
        return _with_comments(self, text) if comments else text

    @staticmethod
    def read_toml(path: str | Path) -> dict[str, Any]:
        """The values in a file, unchecked.

        Raises:
            InputError: no readable TOML; the message names the file.
        """
        try:
            with open(path, "rb") as file:
                return tomllib.load(file)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a TOML file ({error})") from error

    @classmethod
    def from_toml(cls, path: str | Path, base: "Config | None" = None) -> "Config":
        """`base` (the defaults, if none) with the values of that file in place of its own.

        Raises:
            InputError: no readable TOML, or as `from_dict`; the message names the file.
        """
        values = cls.read_toml(path)
        try:
            return cls.from_dict(values, base)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _with_comments(config: Config, text: str) -> str:
    """Behind each value what stands behind its field above, where ``--help`` takes it from too."""
    told: dict[str, dict[str, str]] = {"": comments(Config)}
    for field in dataclasses.fields(config):
        record = getattr(config, field.name)
        if dataclasses.is_dataclass(record):
            told[field.name] = comments(type(record))
    table, lines = "", []
    for line in text.splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        comment = told.get(table, {}).get(line.split(" = ")[0], "")
        # A list runs over several lines, and begins with a bracket alone.
        lines.append(f"{line}  # {comment}" if comment else line)
    return "\n".join(lines) + "\n"


def comments(record: type) -> dict[str, str]:
    """What stands behind each field of a record, by its name."""
    return dict(re.findall(r"^    (\w+):.*?  # (.*)$", inspect.getsource(record), re.MULTILINE))


def _read_record(base: Any, values: Any, path: str) -> Any:
    if not isinstance(values, Mapping):
        raise InputError(f"{path.rstrip('.') or 'config'}: {values!r} is not a table of fields")
    hints = get_type_hints(type(base), include_extras=True)
    changes = {}
    for name, value in values.items():
        field = f"{path}{name}"
        if name not in hints:
            raise InputError(f"{field}: no such field{suggestion(name, hints)}")
        current = getattr(base, name)
        if dataclasses.is_dataclass(current):
            changes[name] = _read_record(current, value, f"{field}.")
        else:
            changes[name] = _read_value(hints[name], value, field)
    return dataclasses.replace(base, **changes)


def _read_value(hint: Any, value: Any, field: str) -> Any:
    plain = _plain(hint)
    if plain is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # beyond 1e308
            return math.inf if value > 0 else -math.inf  # which no range allows
    if plain is tuple and isinstance(value, list | tuple):
        return tuple(_read_value(get_args(hint)[0], item, field) for item in value)
    if plain is dict and isinstance(value, Mapping):
        item = get_args(hint)[1]
        return {str(k): _read_value(item, v, f"{field}.{k}") for k, v in value.items()}
    if type(value) is not plain:
        raise InputError(f"{field}: {value!r} is {_kind(type(value))}; {_kind(plain)} is allowed")
    return value


def _validate_record(record: Any, path: str) -> None:
    hints = get_type_hints(type(record), include_extras=True)
    for field in dataclasses.fields(record):
        name, value = f"{path}{field.name}", getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            _validate_record(value, f"{name}.")
        else:
            _validate_value(hints[field.name], value, name)


def _validate_value(hint: Any, value: Any, field: str) -> None:
    _read_value(hint, value, field)  # its type; what it returns is equal
    plain = _plain(hint)
    if plain is tuple:
        for item in value:
            _validate_value(get_args(hint)[0], item, field)
    elif plain is dict:
        for key, item in value.items():
            _validate_value(get_args(hint)[1], item, f"{field}.{key}")
    elif get_origin(hint) is Annotated:
        allowed: Range = get_args(hint)[1]
        if not allowed.low <= value <= allowed.high:  # NaN is not, either
            raise InputError(f"{field}: {value} is out of range; {allowed} is allowed")


def _plain(hint: Any) -> type:
    """The bare type behind ``Annotated[int, ...]`` or ``tuple[int, ...]``."""
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(hint) or hint


def _kind(kind: type) -> str:
    words = {int: "a whole number", float: "a number", str: "text", bool: "a truth value"}
    return words.get(
        kind, {tuple: "a list", list: "a list", dict: "a table"}.get(kind, kind.__name__)
    )
