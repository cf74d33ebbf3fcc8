"""How a notebook shows what has a formula: typeset."""

from __future__ import annotations

from abc import abstractmethod

from .errors import ThalwegError


class Typeset:
    """Whatever has `latex()`; a notebook shows that, and its words where there is no formula."""

    @abstractmethod
    def latex(self) -> str:
        """Its formula as LaTeX."""

    def _repr_latex_(self) -> str | None:
        try:
            return rf"$\displaystyle {self.latex()}$"
        except ThalwegError:
            return None
