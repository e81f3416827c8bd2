"""Hugging Face checkpoints: finding, reading and merging them; no packed model, no Triton."""
