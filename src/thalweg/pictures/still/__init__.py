"""A figure drawn without a browser: Plotly's description in, Matplotlib's drawing out.

Every picture is described once, as a Plotly figure, and this is the second thing that can draw that description; so a
file and a web page show the same picture. (The package that Plotly itself calls for files, kaleido, drives a Chrome
that must be installed.) It draws what the pictures of this library use and refuses the rest.
"""

from .drawing import Drawing, write_still
from .films import images, write_gif, write_mp4

__all__ = ["Drawing", "images", "write_gif", "write_mp4", "write_still"]
