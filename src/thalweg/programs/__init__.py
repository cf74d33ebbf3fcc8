"""A model's training step made to run: traced once from the model's own code, then compiled."""
