"""Who else hears of a study while it runs: TensorBoard, MLflow, Weights & Biases, or a callback of your own.

One run for each setting that is confirmed, and one for the study; see `journal.py`. Each tool is one small file.
"""

from .base import Callback, Run, Tool
from .mlflow import MLflow
from .names import named
from .tensorboard import TensorBoard
from .wandb import WandB

__all__ = ["Callback", "MLflow", "Run", "TensorBoard", "Tool", "WandB", "named"]
