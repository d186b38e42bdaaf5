"""Answers one connection after the other on descriptor 3, having waited for it by `waits.py select|poll|epoll|accept`.

Where CLOSE names a file, it closes the socket once that is there, and lives on. It does so as the user USER_ID, where that is said."""

import os
import select
import socket
import sys
import time

listener = socket.socket(fileno=3)
# Every 50 ms it is looked for the file.
TIMEOUT = 0.05 if "CLOSE" in os.environ else None


def by_select():
    select.select([listener], [], [], TIMEOUT)


def poller(poll, timeout):
    poll.register(listener, select.POLLIN)
    return lambda: poll.poll(timeout)


def wait_by(name):
    if name == "poll":
        return poller(select.poll(), TIMEOUT and TIMEOUT * 1000)
    if name == "epoll":
        return poller(select.epoll(), TIMEOUT)
    return by_select if name == "select" else lambda: None


def answer():
    with listener.accept()[0] as connection:
        connection.recv(4096)
        body = f"waits {os.getpid()}"
        connection.sendall(f"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())


if __name__ == "__main__":
    if "USER_ID" in os.environ:
        os.setgroups([])
        os.setuid(int(os.environ["USER_ID"]))
    wait = wait_by(sys.argv[1])
    listener.setblocking(sys.argv[1] == "accept")
    while not os.path.exists(os.environ.get("CLOSE", "/nowhere")):
        wait()
        try:
            answer()
        except BlockingIOError:
            pass
    listener.close()
    time.sleep(1000)
