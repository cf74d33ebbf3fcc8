"""Every picture of the documents by name, each made by the few lines that are shown with it.

`get("entropy").make()` gives the figure, `names()` all names; `thalweg picture NAME` does the same. Each function in
the files of this package is one picture: its docstring is the caption, its body is the code on the page.
"""

from .registry import PICTURES, Picture, get, names

__all__ = ["PICTURES", "Picture", "get", "names"]
