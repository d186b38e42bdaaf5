"""Two servers that know nothing of multi-node; each answers with its pid. The end of the body of `/sleep/MS` takes so long."""

import asyncio
import os
import time


def sleeps(path):
    return int(path.split("/")[2]) / 1000 if path.startswith("/sleep/") else 0


def wsgi(environ, start_response):
    body = f"wsgi {os.getpid()}".encode()
    start_response("200 OK", [("content-length", str(len(body)))])
    yield body[:1]
    time.sleep(sleeps(environ["PATH_INFO"]))
    yield body[1:]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body = f"asgi {os.getpid()}".encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    await asyncio.sleep(sleeps(scope["path"]))
    await send({"type": "http.response.body", "body": body[1:]})
