"""Descent along the gradient, or along an accumulated gradient, at a rate the user sets."""

from __future__ import annotations

from .base import Update, formula


@formula(source="Robbins & Monro 1951; Cauchy 1847", year=1951)
def sgd(g, w, *, lr=1e-3, weight_decay=0.0):
    """Gradient descent; on random mini-batches, stochastic gradient descent."""
    g = g + weight_decay * w
    return Update(-lr * g)


@formula(source="Polyak 1964; Sutskever et al. 2013", year=1964, parents=("sgd",))
def momentum(g, w, a, *, lr=1e-3, momentum=0.9, weight_decay=0.0):
    """Gradients are accumulated and the rate stands outside, as in torch.optim.SGD(momentum=…)."""
    g = g + weight_decay * w
    a = momentum * a + g
    return Update(-lr * a, a=a)


@formula(source="Nesterov 1983; Sutskever et al. 2013", year=1983, parents=("momentum",))
def nesterov(g, w, a, *, lr=1e-3, momentum=0.9, weight_decay=0.0):
    """Momentum that looks one step ahead, in the form of torch.optim.SGD(nesterov=True)."""
    g = g + weight_decay * w
    a = momentum * a + g
    return Update(-lr * (g + momentum * a), a=a)
