"""Drop-ins for torch.optim, each made from its formula; `from_formula` makes one from yours.

The classes that torch.optim has take torch's arguments and state_dicts; every class can also clip, average the
weights and zero the gradients in the same pass over memory.

>>> import torch, thalweg as tw
>>> weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
>>> optimizer = tw.optim.Adam([weight], lr=0.1, max_norm=1.0, zero_grad=True)
>>> weight.square().sum().backward(); optimizer.step()
>>> weight.data, weight.grad
(tensor([ 0.9000, -1.9000]), tensor([0., 0.]))

Read next: `optimizer.py`, which all classes share.
"""

from __future__ import annotations

from .classes import drop_in, from_formula
from .optimizer import FormulaOptimizer

SGD = drop_in("SGD", "sgd")
Adagrad = drop_in("Adagrad", "adagrad")
Adadelta = drop_in("Adadelta", "adadelta")
RMSprop = drop_in("RMSprop", "rmsprop")
Adam = drop_in("Adam", "adam")
AdamW = drop_in("AdamW", "adamw")
NAdam = drop_in("NAdam", "nadam")
RAdam = drop_in("RAdam", "radam")
Adamax = drop_in("Adamax", "adamax")
ASGD = drop_in("ASGD", "asgd")
Rprop = drop_in("Rprop", "rprop")
Lion = drop_in("Lion", "lion")
AdaBelief = drop_in("AdaBelief", "adabelief")
Yogi = drop_in("Yogi", "yogi")
Adan = drop_in("Adan", "adan")
QHAdam = drop_in("QHAdam", "qhadam")
SignSGD = drop_in("SignSGD", "signsgd")

__all__ = [
    "ASGD",
    "SGD",
    "AdaBelief",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Adan",
    "FormulaOptimizer",
    "Lion",
    "NAdam",
    "QHAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SignSGD",
    "Yogi",
    "from_formula",
]
