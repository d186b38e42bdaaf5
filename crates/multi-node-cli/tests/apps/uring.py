"""Answers one connection after the other, accepted by an io_uring on descriptor 3 (io_uring_setup(2)). With `--check` it ends
with success where it may have an io_uring."""

import ctypes
import mmap
import os
import socket
import struct
import sys

SETUP, ENTER = 425, 426
libc = ctypes.CDLL(None, use_errno=True)


def call(number, *args):
    result = libc.syscall(number, *map(ctypes.c_long, args))
    if result < 0:
        error = ctypes.get_errno()
        sys.exit(f"io_uring: {os.strerror(error)}")
    return result


params = ctypes.create_string_buffer(120)
ring = call(SETUP, 1, ctypes.addressof(params))
(sq_entries, cq_entries) = struct.unpack_from("II", params)
# struct io_sqring_offsets and io_cqring_offsets
_, sq_tail, sq_mask, _, _, _, sq_array = struct.unpack_from("7I", params, 40)
cq_head, cq_tail, cq_mask, _, _, cqes = struct.unpack_from("6I", params, 80)
sq = mmap.mmap(ring, sq_array + 4 * sq_entries, offset=0)
cq = mmap.mmap(ring, cqes + 16 * cq_entries, offset=0x8000000)
sqes = mmap.mmap(ring, 64 * sq_entries, offset=0x10000000)


def number(ring, at):
    return struct.unpack_from("I", ring, at)[0]


def accept(listener):
    tail = number(sq, sq_tail)
    at = tail & number(sq, sq_mask)
    sqes[64 * at : 64 * at + 64] = struct.pack("=BBHiQQIIQ24x", 13, 0, 0, listener, 0, 0, 0, 0, 0)
    struct.pack_into("I", sq, sq_array + 4 * at, at)
    struct.pack_into("I", sq, sq_tail, tail + 1)
    # Submits one, and waits for one (IORING_ENTER_GETEVENTS).
    call(ENTER, ring, 1, 1, 1, 0, 0)
    head = number(cq, cq_head)
    result = struct.unpack_from("=Qi", cq, cqes + 16 * (head & number(cq, cq_mask)))[1]
    struct.pack_into("I", cq, cq_head, head + 1)
    return socket.socket(fileno=result)


while "--check" not in sys.argv:
    with accept(3) as connection:
        connection.recv(4096)
        body = f"io_uring {os.getpid()}"
        connection.sendall(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())
