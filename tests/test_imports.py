"""The table of rooms, enforced: who may import whom, and what importing this package loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gan_jax"

# From the ground up: a room imports only rooms before it.
ROOMS = [
    "errors",
    "files",
    "environment",
    "config",
    "recipes",
    "types",
    "losses",
    "penalties",
    "terms",
    "precision",
    "networks",
    "optimizers",
    "state",
    "game",
    "views",
    "moves",
    "dynamics",
    "gan",
    "assembly",
    "loops",
    "evaluation",
    "data",
    "checkpoints",
    "report",
    "runs",
    "progress",
    "signals",
    "sampling",
    "classifiers",
    "judges",
    "outside",
    "evaluate",
    "watch",
    "benchmark",
    "fitting",
    "session",
    "train",
    "names",
    "help",
    "flags",
    "cli",
    "__main__",
]
PLAIN = ["errors", "files", "environment", "config", "recipes"]
PURE = ROOMS[len(PLAIN) : ROOMS.index("data")]


def files():
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> set[str]:
    """Everything a file imports, outside of its ``if __name__ == "__main__"`` block."""
    found = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            found.add(node.module)
            if node.module == "gan_jax":
                found.update(f"gan_jax.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def test_every_room_is_in_the_table():
    assert {room_of(path) for path in files()} - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_rooms_before_them(path):
    room = room_of(path)
    if room == "__init__":
        return
    for module in imported_modules(path):
        if module.startswith("gan_jax."):
            other = module.split(".")[1]
            if other != "__version__":
                assert other == room or ROOMS.index(other) < ROOMS.index(room), f"{room} -> {other}"


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_outside_libraries_stay_in_their_rooms(path):
    homes = {
        "flax.linen": {"networks"},
        "orbax": {"checkpoints"},
        "tensorstore": {"checkpoints"},
        "tensorflow_datasets": {"data"},
        "sklearn": {"data", "evaluation"},
        "matplotlib": {"report"},
        "PIL": {"data", "report"},
        "tyro": {"flags", "help"},
        "tomli_w": {"config"},
    }
    for module in imported_modules(path):
        for library, rooms in homes.items():
            if module == library or module.startswith(f"{library}."):
                assert room_of(path) in rooms, f"{path.name} imports {module}"
        if room_of(path) in PLAIN:
            assert module.split(".")[0] not in {"jax", "flax", "optax", "numpy"}


@pytest.mark.parametrize(
    "path", [p for p in files() if room_of(p) in PURE], ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_pure_rooms_touch_neither_disk_nor_screen_nor_clock(path):
    outside = {"datetime", "io", "os", "pathlib", "random", "rich", "shutil", "subprocess", "sys"}
    outside |= {"tempfile", "threading", "time"}
    assert not {module.split(".")[0] for module in imported_modules(path)} & outside
    names = {
        node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)
    }
    assert not names & {"print", "open", "input"}


def loaded_after(program: str) -> set[str]:
    """Top-level modules in a fresh interpreter after that program."""
    script = f"{program}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = {
    "tomli_w",
    "tensorflow_datasets",
    "tensorflow",
    "orbax",
    "sklearn",
    "matplotlib",
    "PIL",
    "tyro",
}


def test_importing_loads_no_jax():
    assert not loaded_after("import gan_jax; gan_jax.Config(); gan_jax.recipe('gan')") & (
        HEAVY | {"jax", "flax", "optax", "numpy"}
    )


def test_building_and_stepping_loads_jax_flax_optax_alone():
    program = """
import gan_jax as gj, jax, jax.numpy as jnp
gan = gj.from_config(gj.recipe("concept"))
state = gan.init(jax.random.key(0))
state, _ = jax.jit(gan.train_step)(state, gj.Batch(jnp.zeros((100, 28, 28, 1)), None))
assert int(state.step) == 1
"""
    loaded = loaded_after(program)
    assert {"jax", "flax", "optax"} <= loaded
    assert not loaded & HEAVY


def test_training_loads_nothing_that_only_evaluating_needs():
    """It would stand between the command and the first step: SciPy alone takes a second."""
    assert not loaded_after("import gan_jax.train") & (HEAVY - {"PIL"} | {"scipy"})


def test_public_names_are_there_and_known_to_checkers():
    import gan_jax

    for name in gan_jax.__all__:
        assert getattr(gan_jax, name) is not None
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {alias.asname for node in block.body for alias in node.names}  # type: ignore
    assert typed == set(gan_jax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gan_jax.nothing  # noqa: B018
