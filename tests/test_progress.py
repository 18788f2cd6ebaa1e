"""What a command says while it runs, where lines cannot be written over."""

import pytest
from conftest import quiet

from gan_jax import progress
from gan_jax.progress import stage


@pytest.mark.parametrize(("seconds", "lines"), [(0.0, 3), (1e9, 1)])
def test_what_takes_minutes_is_told_now_and_then(seconds, lines, monkeypatch):
    monkeypatch.setattr(progress, "_STAGE_SECONDS", seconds)
    console = quiet()
    with stage(console, "training ...") as change:
        change("training: 10%")
        change("training: 20%")
    told = console.file.getvalue().splitlines()  # type: ignore
    assert told == ["training ...", "training: 10%", "training: 20%"][:lines]
