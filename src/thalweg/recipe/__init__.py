"""Recipes: a setting of a study as a plain PyTorch script."""
