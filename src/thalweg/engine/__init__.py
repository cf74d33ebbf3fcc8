"""The engine: carries a plan out: blocks, halving, growth of the grid, threads and processes, progress."""
