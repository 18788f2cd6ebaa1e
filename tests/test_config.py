"""Config: there and back, and every bad value refused with the field's name."""

import dataclasses
import json
import math

import pytest

from gan_jax.config import Config, GeneratorConfig, OptimizerConfig
from gan_jax.errors import InputError
from gan_jax.recipes import RECIPES, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_come_back_equal(name, tmp_path):
    config = recipe(name)
    config.validate()
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml())
    assert Config.from_toml(path) == config
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.recipe == name


@pytest.mark.parametrize("name", ["gan", "wgan"])
def test_comments_tell_every_value_and_change_none(name, tmp_path):
    config, path = recipe(name), tmp_path / "config.toml"
    text = config.to_toml(comments=True)
    path.write_text(text)
    assert Config.from_toml(path) == config
    values = [line for line in text.splitlines() if " = " in line.split("#")[0]]
    bare = [line for line in values if "  # " not in line]
    assert all(line.split(" = ")[0] in config.penalties for line in bare)  # their names say it
    assert "learning_rate = " in text and len(values) > 40


def test_partial_values_keep_the_base():
    base = recipe("gan")
    config = Config.from_dict({"generator": {"latent_size": 3}, "seed": 9}, base)
    assert config.generator == dataclasses.replace(base.generator, latent_size=3)
    assert config == dataclasses.replace(base, generator=config.generator, seed=9)


def test_whole_numbers_serve_as_numbers():
    rate = Config.from_dict({"generator_optimizer": {"learning_rate": 1}}).generator_optimizer
    assert rate.learning_rate == 1.0 and isinstance(rate.learning_rate, float)


BAD = [
    ({"batch_sise": 3}, "batch_sise: no such field; did you mean 'batch_size'?"),
    ({"generator": {"width": [3]}}, "generator.width: no such field; did you mean 'widths'?"),
    ({"generator": 3}, "generator: 3 is not a table of fields"),
    ({"batch_size": 0}, "batch_size: 0 is out of range; 1 to 65,536 is allowed"),
    ({"batch_size": -1}, "batch_size: -1 is out of range"),
    ({"batch_size": 2.5}, "batch_size: 2.5 is a number; a whole number is allowed"),
    ({"batch_size": True}, "batch_size: True is a truth value; a whole number is allowed"),
    ({"batch_size": "64"}, "batch_size: '64' is text; a whole number is allowed"),
    ({"steps": 10**12}, "steps: 1000000000000 is out of range"),
    ({"seed": -1}, "seed: -1 is out of range"),
    ({"seed": 10**400}, "0 is out of range"),
    ({"average_decay": -(10**400)}, "average_decay: -inf is out of range"),
    ({"loss": 3}, "loss: 3 is a whole number; text is allowed"),
    ({"average_decay": 1.0}, "average_decay: 1.0 is out of range"),
    ({"average_decay": math.nan}, "average_decay: nan is out of range"),
    ({"penalties": {"r1": -1.0}}, "penalties.r1: -1.0 is out of range"),
    ({"recipe": ""}, "recipe: '' found"),
    ({"penalties": {"r1": "much"}}, "penalties.r1: 'much' is text"),
    ({"penalties": 3.0}, "penalties: 3.0 is a number; a table is allowed"),
    ({"generator": {"widths": [512, 0]}}, "generator.widths: 0 is out of range"),
    ({"generator": {"widths": 512}}, "generator.widths: 512 is a whole number; a list is allowed"),
    ({"generator": {"widths": ["a"]}}, "generator.widths: 'a' is text"),
    ({"generator_optimizer": {"learning_rate": math.inf}}, "learning_rate: inf is out of range"),
    ({"generator_optimizer": {"b1": 1}}, "generator_optimizer.b1: 1.0 is out of range"),
    ({"decay": {"horizon": 0}}, "decay.horizon: 0 is out of range"),
    ({"validation": 0.95}, "validation: 0.95 is out of range; 0 to 0.9 is allowed"),
]


@pytest.mark.parametrize(("values", "message"), BAD, ids=[m for _, m in BAD])
def test_bad_values_are_named(values, message):
    with pytest.raises(InputError) as caught:
        Config.from_dict(values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_given_in_python_are_checked_too():
    with pytest.raises(InputError, match="generator.latent_size: 0 is out of range"):
        Config(generator=GeneratorConfig(latent_size=0)).validate()
    with pytest.raises(InputError, match="discriminator_optimizer.b2: 'x' is text"):
        Config(discriminator_optimizer=OptimizerConfig(b2="x")).validate()  # type: ignore


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "bad.toml"
    with pytest.raises(InputError, match=r"bad\.toml: cannot be read \(No such file"):
        Config.from_toml(path)
    path.write_text("steps = = 3")
    with pytest.raises(InputError, match=r"bad\.toml: not a TOML file"):
        Config.from_toml(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bad\.toml: not a TOML file"):
        Config.from_toml(path)
    path.write_text("steps = 0")
    with pytest.raises(InputError, match=r"bad\.toml: steps: 0 is out of range"):
        Config.from_toml(path)


def test_unknown_recipe():
    with pytest.raises(InputError, match="recipe: 'gann' is not one of .*; did you mean 'gan'"):
        recipe("gann")
