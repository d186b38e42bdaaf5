"""A server whose release, the file that RELEASE names, says how it breaks: "good"; "import"; "dies SECONDS SLOT"."""

import os
import select
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


if release[0] == "dies" and release[2] in (os.environ["SLOT"], "all"):
    threading.Thread(target=die, args=(float(release[1]),), daemon=True).start()

# Told to end it accepts no more, and finishes what it has. The signal wakes the loop by a pipe, so that none is accepted and left.
told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)

listener = socket.socket(fileno=3)
listener.setblocking(False)
poll = select.epoll()
poll.register(listener, select.EPOLLIN)
poll.register(told, select.EPOLLIN)
while told not in [ready for ready, _ in poll.poll()]:
    try:
        connection = listener.accept()[0]
    except BlockingIOError:
        continue
    connection.setblocking(True)
    threading.Thread(target=answer, args=(connection,)).start()
