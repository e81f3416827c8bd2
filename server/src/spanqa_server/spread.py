"""New connections to processes that share a port, dealt out in turn by the kernel."""

import ctypes
import logging
import os
import platform
import socket
import struct
from collections.abc import Iterator

logger = logging.getLogger(__name__)

SYSTEM_CALLS = {"x86_64": 321, "aarch64": 280}
MAP_CREATE, PROG_LOAD = 0, 5
ARRAY_MAP, SOCKET_FILTER = 2, 1
ATTRIBUTE_BYTES = 128
SO_ATTACH_REUSEPORT_EBPF = 52


def deal_out_connections(port: int, workers: int) -> bool:
    """Let the kernel give each new connection to `port` to the next of its listeners.

    Without it (another system than Linux, no right to load a program for it: CAP_BPF) the kernel
    chooses by a hash, which spreads many connections evenly and few of them only roughly. A
    listener that is gone is passed over, by that hash.
    """
    try:
        counter = make_counter()
        try:
            program = load_program(counting_program(counter, workers))
        finally:
            os.close(counter)
    except (OSError, AttributeError, KeyError) as error:
        logger.info("connections are spread by a hash: the kernel takes no program (%s)", error)
        return False
    try:
        for listener in listeners(port):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, program)
    finally:
        os.close(program)
    return True


def listeners(port: int) -> Iterator[socket.socket]:
    """Sockets of this process that listen on the port: copies, closed after use."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        with copy:
            if copy.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            listening = copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listening and copy.getsockname()[1] == port:
                yield copy


def make_counter() -> int:
    """An array map of one 64-bit number; its descriptor."""
    return call(MAP_CREATE, struct.pack("<IIII", ARRAY_MAP, 4, 8, 1))


def load_program(instructions: bytes) -> int:
    """The descriptor of a loaded socket filter."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    pointers = ctypes.addressof(code), ctypes.addressof(licence)
    return call(PROG_LOAD, struct.pack("<IIQQ", SOCKET_FILTER, len(instructions) // 8, *pointers))


def counting_program(counter: int, modulus: int) -> bytes:
    """Instructions (Linux, Documentation/bpf) for: return counter++ % modulus."""
    r0, r1, r2, stack = 0, 1, 2, 10
    return b"".join(
        (
            instruction(0x62, stack, offset=-4),  # the map's key, 0, on the stack
            instruction(0xBF, r2, stack),
            instruction(0x07, r2, value=-4),  # r2: where the key is
            instruction(0x18, r1, 1, value=counter),  # r1: the map, in two instructions
            instruction(0),
            instruction(0x85, value=1),  # r0 = map_lookup_elem(r1, r2)
            instruction(0x15, r0, offset=4),  # null: return 0
            instruction(0xB7, r1, value=1),
            instruction(0xDB, r0, r1, value=1),  # r1 = atomic_fetch_add(*r0, r1)
            instruction(0x97, r1, value=modulus),
            instruction(0xBF, r0, r1),
            instruction(0x95),
        )
    )


def instruction(
    code: int, to: int = 0, source: int = 0, *, offset: int = 0, value: int = 0
) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


def call(command: int, attributes: bytes) -> int:
    """The bpf system call; raises OSError."""
    number = SYSTEM_CALLS[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    given = ctypes.create_string_buffer(attributes, ATTRIBUTE_BYTES)
    descriptor = libc.syscall(number, command, given, ATTRIBUTE_BYTES)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(descriptor)
