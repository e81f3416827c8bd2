"""The C library's allocator, set up for large tensors that come and go."""

import ctypes
import platform

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
KEPT_BYTES = 1 << 30


def keep_freed_memory() -> None:
    """Let glibc keep freed memory; with another C library nothing happens.

    It otherwise gives the activations of each batch back to the system and faults them in again
    for the next: that took 11 of 39 CPU seconds of a small run (MiniLM with LoRA).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
