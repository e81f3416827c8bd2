"""Tunes the allocator of the C library for large, short-lived tensors."""

import ctypes
import platform

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Let glibc keep freed memory; with another C library this does nothing.

    Otherwise glibc returns the activations of each batch to the system, and page faults bring them
    back for the next one: 11 of 39 CPU seconds of a small run (MiniLM with LoRA).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
