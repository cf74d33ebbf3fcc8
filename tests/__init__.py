"""The tests. What must be set before anything imports Triton is set here: its kernels run on the CPU."""

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
