"""Who else hears of a study while it runs: TensorBoard, MLflow, Weights & Biases, or a callback of your own.

One run for each setting that is confirmed, and one for the study; see `journal.py`. Each tool is one small file.
"""

from .base import Callback as Callback
from .base import Run as Run
from .base import Tool as Tool
from .mlflow import MLflow as MLflow
from .names import named as named
from .tensorboard import TensorBoard as TensorBoard
from .wandb import WandB as WandB

__all__ = ["Callback", "MLflow", "Run", "TensorBoard", "Tool", "WandB", "named"]
