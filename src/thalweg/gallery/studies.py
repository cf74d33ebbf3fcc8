"""Pictures of studies: learning curves and where to stop, how much the rate matters."""

from __future__ import annotations

from tempfile import mkdtemp

import plotly.graph_objects as go

import thalweg as tw
from thalweg.gallery.computed import chosen, few_digits
from thalweg.pictures.layout import headed
from thalweg.pictures.rates import rates
from thalweg.pictures.stopping import stopping_picture


def early_stopping() -> go.Figure:
    """The training loss falls on, the validation loss turns: early stopping goes back to the best epoch.

    150 digits, one in five with a wrong label, are learned by heart within 60 epochs.
    """
    study = tw.compare(
        few_digits(),
        ["adam"],
        [0.01],
        ["constant"],
        seeds=3,
        epochs=60,
        batch_size=32,
        confirmation=0,
        store=mkdtemp() + "/digits.db",
        progress=False,
    )
    return stopping_picture(study.curves(), patience=8, title="Learning curves, and where early stopping ends them")


def rate_sensitivity() -> go.Figure:
    """A rate that suits one rule ruins another: four rules come equally far, each at the best of the same eleven rates.

    That is 0.01 for rmsprop and adam, 0.1 for momentum and 1 for sgd; at 1, rmsprop and adam diverge.
    """
    rules = ["sgd", "momentum", "rmsprop", "adam"]
    study = tw.compare(
        "breast-cancer",
        rules,
        tw.log_range(1e-4, 10, 11),
        ["constant"],
        seeds=3,
        epochs=5,
        refine=0,
        confirmation=0,
        store=mkdtemp() + "/rates.db",
        progress=False,
    )
    note = "breast-cancer, 5 epochs, 3 seeds each; the same rates, starts and batches for all."
    return headed(rates(study.table(), chosen(study)), "How much the rate matters", note)
