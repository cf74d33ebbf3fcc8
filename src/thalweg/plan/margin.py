"""How large a difference has to be before it matters; by itself, so that `--help` knows it without NumPy."""

MARGIN = 0.01  # of the best value
