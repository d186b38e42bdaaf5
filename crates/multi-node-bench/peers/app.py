# gunicorn's application in `loss`.
import time

RELEASE = b"@RELEASE@"
PATTERN = bytes(at % 251 for at in range((1 << 20) + 1000))


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/bytes/"):
        body = PATTERN[: int(path[len("/bytes/") :])]
    elif path.startswith("/sleep/"):
        ms = int(path[len("/sleep/") :])
        time.sleep(ms / 1000)
        body = b"slept %d\n" % ms
    elif path == "/echo":
        body = environ["wsgi.input"].read()
    else:
        body = RELEASE
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
