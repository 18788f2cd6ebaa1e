"""What a person looks at: sample grids, how they evolve, and the curves of a run."""

from gan_jax.report.curves import draw_curves
from gan_jax.report.pictures import animate, draw_images, draw_points, draw_samples, to_uint8

__all__ = ["animate", "draw_curves", "draw_images", "draw_points", "draw_samples", "to_uint8"]
