"""Makes models for SpanQA: exports checkpoints, and fine-tunes them."""

import os
from importlib.metadata import version as _version

__version__ = _version("spanqa-model")

# Read once, when torch is imported. Threads that spin while they wait for each other stall when
# another process needs their core (`docs/finetuning.md` has figures).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
