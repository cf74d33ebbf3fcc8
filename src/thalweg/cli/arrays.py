"""Numbers on the command line: written out, ``1,2;3,4``, or in a .npy, .csv or .png file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError, first_line, short
from ..language import Word, mark

if TYPE_CHECKING:
    import numpy as np

FORM = mark("numbers separated by commas, rows by semicolons, or a .npy, .csv or .png file")


def array_of(text: str, what: Word) -> np.ndarray:
    """(n,) of one row, (rows, columns) of several; whole numbers stay whole, and fractions such as 1/9 are numbers.

    An image is (height, width) of its brightness, 0 to 255.

    Args:
        what: the numbers are, for messages.

    Raises:
        UsageError: neither numbers nor such a file, rows of several lengths, or a file that cannot be read.

    >>> array_of("1,2;3,4", mark("signal"))
    array([[1, 2],
           [3, 4]])
    >>> array_of("0, 1/2, 1", mark("kernel"))
    array([0. , 0.5, 1. ])
    """
    import numpy as np

    if (read := _READERS.get(Path(text).suffix.lower())) is not None:
        try:
            numbers = np.asarray(read(text))
        except FileNotFoundError as error:
            raise UsageError(
                "the {what} {text} does not exist; give {form}.", what=what, text=text, form=FORM
            ) from error
        except (OSError, ValueError) as error:
            reason = first_line(error)
            raise UsageError(
                "the {what} {text} cannot be read: {reason}.", what=what, text=text, reason=reason
            ) from error
        return _checked(numbers, text, what)
    rows = [[_number(word.strip(), text, what) for word in row.split(",")] for row in text.split(";")]
    if len({len(row) for row in rows}) > 1:
        counts = ", ".join(str(len(row)) for row in rows)
        raise UsageError(
            "the {what} {text} has rows of {counts} numbers; give as many in each.",
            what=what,
            text=repr(short(text)),
            counts=counts,
        )
    return _checked(np.array(rows[0] if len(rows) == 1 else rows), text, what)


def _checked(numbers: np.ndarray, text: str, what: Word) -> np.ndarray:
    import numpy as np

    if numbers.dtype.kind not in "biuf" or not numbers.size or not np.isfinite(numbers).all():
        raise UsageError(
            "the {what} {text} is not of finite numbers alone; give {form}.",
            what=what,
            text=repr(short(text)),
            form=FORM,
        )
    return numbers


def _number(word: str, text: str, what: Word) -> float:
    try:
        return int(word)
    except ValueError:
        pass
    try:
        above, sign, below = word.partition("/")
        return float(above) / float(below) if sign else float(word)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            "the {what} {text} cannot be read: {word} is not a number; give {form}.",
            what=what,
            text=repr(short(text)),
            word=repr(short(word)),
            form=FORM,
        ) from error


def _columns(path: str) -> Any:
    """Whole numbers where all of them are."""
    import numpy as np

    with warnings.catch_warnings(action="ignore"):  # of a file without numbers, which is refused
        numbers = np.loadtxt(path, delimiter=",", ndmin=2)
    numbers = numbers.squeeze(axis=tuple(k for k in (0, 1) if numbers.shape[k] == 1)[:1])
    whole = np.rint(numbers)
    return whole.astype(np.int64) if (whole == numbers).all() else numbers


def _image(path: str) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.int64)


def _saved(path: str) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)


_READERS = {".npy": _saved, ".csv": _columns, ".png": _image}


def written(values: np.ndarray, digits: int = 5) -> str:
    """A row of numbers, separated by commas."""
    from ..pictures.numbers import short as number

    return ", ".join(number(float(v), digits) for v in values.ravel())
