"""FastAPI, as usual: multi-node runs it unmodified. See multi-node.toml."""

import os
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse


@asynccontextmanager
async def lifespan(app):
    # Each node opens its own pool, and closes it when it has answered its last request.
    app.state.pool_size = int(os.environ.get("DB_POOL", "5"))
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def hello():
    return f"hello from {os.getpid()}"


@app.get("/healthz")
async def healthz():
    return {"pool": app.state.pool_size}
