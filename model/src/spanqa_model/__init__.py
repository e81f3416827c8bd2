"""Makes models for SpanQA: exports checkpoints, and fine-tunes them."""

import os

# Read once, as torch is imported: threads that spin while they wait for each other stall when
# another process wants their core (`docs/finetuning.md` has figures).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
