"""How large a model is: shapes, parameters and multiply-adds of each layer, and the bytes that training it takes.

`size.py` is the way in, `layers.py` counts a model's layers, `memory.py` the bytes, `known.py` has the models that
have a name, `shown.py` prints.
"""
