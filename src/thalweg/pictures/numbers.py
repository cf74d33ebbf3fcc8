"""Numbers as a reader wants them: four significant digits, a real minus sign, and never a bare `nan`."""

from __future__ import annotations

import math

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 4) -> str:
    """`value` with `digits` significant digits, so that a column of them can be compared by eye.

    >>> number(0.05), number(-12.3456), number(3.2e-7), number(float("inf")), number(float("nan"))
    ('0.05000', '−12.35', '3.200×10⁻⁷', '∞', 'NaN')
    """
    return _written(value, f"{value:#.{digits}g}".rstrip("."))


def short(value: float, digits: int = 4) -> str:
    """`value` with at most `digits` significant digits, for rates, counts and labels.

    >>> short(0.001), short(0.00031622776), short(1e-5), short(1040.0)
    ('0.001', '0.0003162', '10⁻⁵', '1040')
    """
    return _written(value, f"{value:.{digits}g}")


def duration(seconds: float) -> str:
    """Seconds in the unit that leaves one to three digits before the point.

    >>> duration(31.24e-6), duration(0.0042), duration(12.0), duration(float("nan"))
    ('31.2 µs', '4.20 ms', '12.0 s', 'NaN')
    """
    if not math.isfinite(seconds):
        return number(seconds)
    for scale, unit in ((1e-6, "µs"), (1e-3, "ms")):
        if abs(seconds) < 999.5 * scale:
            return f"{number(seconds / scale, 3)} {unit}"
    return f"{number(seconds, 3)} s"


def _written(value: float, text: str) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    mantissa, exponential, exponent = text.partition("e")
    if exponential:
        power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
        text = power if mantissa == "1" else f"{mantissa}×{power}"
    return text.replace("-", "−")
