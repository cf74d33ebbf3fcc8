"""The root that adaptive rules divide by."""

from __future__ import annotations

from typing import Any

from .vocabulary import sqrt


def root(square: Any, eps: Any, inside: bool) -> Any:
    """√v + ε, or with ε inside √(v + ε)."""
    return sqrt(square + eps) if inside else sqrt(square) + eps
