"""How good samples are: arrays in, numbers out. Each module stands alone on two arrays."""
