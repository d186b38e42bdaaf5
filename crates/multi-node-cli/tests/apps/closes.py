"""A server whose first slot closes its socket, and lives on."""

import os
import time

import plain

if os.environ["SLOT"] == "0":
    os.close(3)
    time.sleep(1000)
plain.serve()
