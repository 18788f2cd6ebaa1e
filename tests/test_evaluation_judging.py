"""What all figures of samples share: where copies are sought, what is cached, what is refused."""

import numpy as np

from gan_jax.evaluation.judging import Judge, View


def test_rows_sorted_by_class_do_not_spoil_the_components(monkeypatch):
    """Each class varies along axes of its own; copies are sought along those of all."""
    monkeypatch.setattr("gan_jax.evaluation.judging._FITTED", 400)
    draw, axes = np.random.default_rng(0), np.eye(160)

    def rows(count, block):
        return draw.normal(size=(count, 40)) @ axes[40 * block : 40 * (block + 1)] * (block + 1)

    train = np.concatenate([rows(400, block) for block in range(2)])
    held_out = np.concatenate([rows(60, block) for block in range(2)])
    judge = Judge(lambda rows: View(rows, None), held_out, train, None)
    assert judge.project is not None
    kept = judge.project(held_out).var(0).sum() / held_out.var(0).sum()
    assert kept > 0.85
