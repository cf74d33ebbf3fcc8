"""The populations of `population.py` on digits in JAX: the strongest peer, written for one kind of network by hand.

A scan over the batches of an epoch, compiled once for each optimizer, with its settings and the seeds side by side
under `vmap`; Optax's rules, the same rates, schedules and batch size, and the validation part after every epoch.
`population.py` runs it in a process of its own if JAX and Optax are installed (`pip install jax optax`).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH, CLASSES = 64, 10


def installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("jax", "optax"))


def versions() -> str:
    """Of JAX and Optax, where they are installed."""
    if not installed():
        return "not installed"
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "optax"))


def rules() -> dict[str, Any]:
    """Each optimizer's direction before it is multiplied with the rate, as torch has it."""
    optax: Any = importlib.import_module("optax")
    return {
        "sgd": optax.identity(),
        "momentum": optax.trace(0.9),
        "nesterov": optax.trace(0.9, nesterov=True),
        "adagrad": optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-10),
        "adadelta": optax.scale_by_adadelta(rho=0.9, eps=1e-6),
        "rmsprop": optax.scale_by_rms(decay=0.99, eps=1e-8),
        "adam": optax.scale_by_adam(),
        "adamw": optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(0.01)),
    }


class Peer:
    """The data, and for each optimizer a compiled epoch.

    Args:
        train, validation: inputs and targets.
        hidden: units of the one hidden layer.
        rates, seeds, epochs: of the study; each rate with a constant and with a cosine schedule.
    """

    def __init__(self, train: Any, validation: Any, hidden: int, rates: Any, seeds: int, epochs: int) -> None:
        self.jax: Any = importlib.import_module("jax")
        self.np: Any = importlib.import_module("jax.numpy")
        self.train = [self.np.asarray(part) for part in train]
        self.validation = [self.np.asarray(part) for part in validation]
        self.hidden = hidden
        self.seeds, self.epochs, self.steps = seeds, epochs, -(-len(train[0]) // BATCH)
        self.rates, self.cosine = (
            self.np.asarray(part, dtype=float) for part in (np.repeat(rates, 2), np.tile([0.0, 1.0], len(rates)))
        )
        self.epoch = {name: self._epoch(rule) for name, rule in rules().items()}

    def loss(self, weights: Any, x: Any, y: Any) -> tuple[Any, Any]:
        (a, b), (c, d) = weights
        outputs = self.np.maximum(x @ a + b, 0) @ c + d
        scores = self.jax.nn.log_softmax(outputs)
        return -self.np.take_along_axis(scores, y[:, None], 1).mean(), (outputs.argmax(1) == y).mean()

    def _epoch(self, rule: Any) -> Callable[..., Any]:
        jax, jnp = self.jax, self.np
        gradient, total = jax.grad(self.loss, has_aux=True), self.epochs * self.steps

        def step(carry: Any, chosen: Any, rate: Any, cosine: Any) -> tuple[Any, None]:
            weights, state, t = carry
            found, _ = gradient(weights, self.train[0][chosen], self.train[1][chosen])
            found, state = rule.update(found, state, weights)
            now = rate * (1 - cosine * (1 - jnp.cos(jnp.pi * t / total)) / 2)
            return (jax.tree.map(lambda w, u: w - now * u, weights, found), state, t + 1), None

        def member(carry: Any, rate: Any, cosine: Any, whole: Any, rest: Any) -> Any:
            carry, _ = jax.lax.scan(lambda c, chosen: step(c, chosen, rate, cosine), carry, whole)
            carry, _ = step(carry, rest, rate, cosine)
            return carry, self.loss(carry[0], *self.validation)

        settings = jax.vmap(member, in_axes=(0, 0, 0, None, None))
        return jax.jit(jax.vmap(settings, in_axes=(0, None, None, 0, 0)))

    def start(self, name: str) -> Any:
        """Weights (seeds, settings, …) as torch.nn.Linear draws them, and the optimizer's state."""

        def weights(key: Any) -> Any:
            sizes = [(self.train[0].shape[1], self.hidden), (self.hidden, CLASSES)]
            keys = self.jax.random.split(key, 2 * len(sizes))

            def uniform(key: Any, shape: Any, inputs: int) -> Any:
                return self.jax.random.uniform(key, shape, minval=-1, maxval=1) / inputs**0.5

            return [
                (uniform(keys[2 * k], (n, m), n), uniform(keys[2 * k + 1], (m,), n)) for k, (n, m) in enumerate(sizes)
            ]

        own = self.jax.vmap(weights)(self.jax.random.split(self.jax.random.PRNGKey(0), self.seeds))
        every = self.jax.tree.map(lambda w: self.np.repeat(w[:, None], len(self.rates), 1), own)
        state = self.jax.vmap(self.jax.vmap(rules()[name].init))(every)
        return every, state, self.np.zeros((self.seeds, len(self.rates)))

    def run(self) -> float:
        """Member-steps per second of the whole study."""
        begun, samples = time.perf_counter(), len(self.train[0])
        for name, epoch in self.epoch.items():
            carry = self.start(name)
            for k in range(self.epochs):
                orders = np.stack([np.random.default_rng([seed, k]).permutation(samples) for seed in range(self.seeds)])
                whole = orders[:, : samples // BATCH * BATCH].reshape(self.seeds, -1, BATCH)
                carry, found = epoch(carry, self.rates, self.cosine, whole, orders[:, samples // BATCH * BATCH :])
                np.asarray(found[0])  # as a study records it
        members = len(self.epoch) * self.seeds * len(self.rates)
        return members * self.epochs * self.steps / (time.perf_counter() - begun)


def serve(given: tuple[Any, ...], wanted: Any, rates: Any) -> None:
    """Run the whole study for each word that comes, and say how fast it was; once before, which compiles."""
    peer = Peer(*given)
    peer.run()
    rates.put(0.0)  # ready
    while wanted.get() is not None:
        rates.put(peer.run())
