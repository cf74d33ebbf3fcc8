"""Several problems: one study each, one verdict over all. Read next: `suite.py`, then `verdict.py`."""
