# The application of WSGI servers.
import time

RELEASE = b"@RELEASE@\n"


def app(environ, start_response):
    _, _, ms = environ["PATH_INFO"].partition("/sleep/")
    time.sleep(int(ms or 0) / 1000)
    start_response("200 OK", [("Content-Length", str(len(RELEASE)))])
    return [RELEASE]
