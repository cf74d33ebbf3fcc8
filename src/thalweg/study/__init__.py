"""Studies: the plan, the population's results, and the verdict on them."""
