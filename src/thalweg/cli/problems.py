"""`thalweg problems`: the problems that come with thalweg."""

from __future__ import annotations

from ..language import say, wrapped
from .listing import headline, terminal
from .options import Json
from .result import print_json

EXAMPLE = "Example: thalweg problems"


def problems(json: Json = False) -> None:
    """List the built-in problems; all of them work offline."""
    from ..problem.builtin import PROBLEMS

    lines = {name: headline(make) for name, make in PROBLEMS.items()}
    if json:
        print_json(lines)
        return
    width = max(map(len, lines))
    for name, line in lines.items():
        print("\n".join(wrapped(f"{name:<{width}}  {say(line)}", terminal().width, " " * (width + 2))))
    print(say("\nYour own: file.py:function or package.module:function, returning a tw.Problem."))
