"""Draws the pictures of the documents: `python docs/pictures.py`; the same library, the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from thalweg import schedules
from thalweg.pictures.files import write
from thalweg.pictures.schedules import schedule_grid

IMAGES = Path(__file__).parent / "images"
STEPS = 100
NAMED = ("lambda", "multiplicative", "chained", "sequential")  # their labels are long
PLATEAU = "plateau(patience=2, gamma=0.5)"


def plateau() -> np.ndarray:
    """What `PLATEAU` does to a loss that falls, stays, and falls a little again."""
    own = schedules.get(PLATEAU)
    assert isinstance(own, schedules.Plateau)
    step = np.arange(STEPS // 4)
    losses = np.where(step < 8, 1 - step / 10, np.where(step < 16, 0.2, 0.2 - (step - 16) / 100).clip(0.17))
    state, values = own.start(np.ones(1)), []
    for loss in losses:
        values += [state[0, 0]] * 4
        state = own.observe(state, np.array([loss]))
    return np.array(values)


def gallery() -> dict[str, np.ndarray]:
    """What each schedule is called, and its values."""
    drawn = {name: schedules.example(name) for name in schedules.names()}
    drawn |= {
        "exponential": schedules.get("exponential(gamma=0.97)"),
        "exponential_decay": schedules.get("exponential_decay(k=0.03)"),
        "inverse_time": schedules.get("inverse_time(k=0.1)"),
        "cosine_restarts": schedules.get("cosine_restarts(T_0=14, T_mult=2)"),
        "chained": schedules.get("chained(linear, step(size=25, gamma=0.5))"),
        "sequential": schedules.get("sequential(constant(scale=0.3), cosine, milestones=(30,))"),
    }
    shown = {}
    for name, one in drawn.items():
        if one.closed:
            values, title = plateau(), PLATEAU
        else:
            values, title = one.factor(np.arange(STEPS), STEPS), name if name in NAMED else one.label
        shown[title] = values
    return shown


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    print(write(schedule_grid(gallery()), IMAGES / "schedules.svg"))
