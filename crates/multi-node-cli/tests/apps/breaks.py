"""A server whose release, the file that RELEASE names, says how it breaks: "good"; "import"; "dies SECONDS SLOT"."""

import os
import signal
import socket
import sys
import threading
import time

release = open(os.environ["RELEASE"]).read().split()
if release[0] == "import":
    raise ImportError("this release does not load")


def answer(connection):
    with connection:
        connection.recv(65536)
        body = f"{release[0]} {os.getpid()}".encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


def die(seconds):
    time.sleep(seconds)
    print("this release breaks", file=sys.stderr, flush=True)
    os._exit(3)


# Told to end it accepts no more, and finishes what it has.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if release[0] == "dies" and release[2] in (os.environ["SLOT"], "all"):
    threading.Thread(target=die, args=(float(release[1]),), daemon=True).start()

listener = socket.socket(fileno=3)
while True:
    # The signal comes between two connections, so that none is accepted and left.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    readable = listener.accept()[0]
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=answer, args=(readable,)).start()
