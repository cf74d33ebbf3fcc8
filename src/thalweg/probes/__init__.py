"""Probes: what a problem's networks look like: range test, sharpness, slices through the loss."""
