# The application of ASGI servers.
import asyncio

RELEASE = b"@RELEASE@\n"


async def app(scope, receive, send):
    if scope["type"] == "http":
        _, _, ms = scope["path"].partition("/sleep/")
        await asyncio.sleep(int(ms or 0) / 1000)
        headers = [(b"content-length", str(len(RELEASE)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": RELEASE})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
    else:
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
