"""Runs behind a server, without one: fixtures for tests of interfaces and pages."""

import asyncio
import contextlib
import socket
import threading
import time

import httpx
import pytest
from reference.untrained import CLASSES, untrained_run

from tinyunet.data.labelling import Labelling
from tinyunet.runs.run import load
from tinyunet.web.guard import LOOPBACK, Guard, GuardConfig
from tinyunet.web.launch import listen
from tinyunet.web.serve.app import FORM_BYTES, create_app
from tinyunet.web.serve.ready import warm_up
from tinyunet.web.uploads import UploadLimits

TOKEN = "the-token-of-tests"
HERE = "http://127.0.0.1:8420"
LIMITS = UploadLimits(max_bytes=2**18, max_pixels=2**16)


@pytest.fixture(scope="session")
def semantic_run(tmp_path_factory):
    """The folder of a run on two classes."""
    return untrained_run(tmp_path_factory.mktemp("semantic") / "run").path


@pytest.fixture(scope="session")
def objects_run(tmp_path_factory):
    """The folder of a run that tells objects apart."""
    return untrained_run(tmp_path_factory.mktemp("objects") / "run", labelling=Labelling("instances", CLASSES)).path


def ready(folder):
    """A run as a server has it."""
    run = load(folder, runtime="jax")
    warm_up(run)
    return run


@pytest.fixture(scope="session")
def semantic(semantic_run):
    """That run, loaded."""
    return ready(semantic_run)


@pytest.fixture(scope="session")
def objects(objects_run):
    """That run, loaded."""
    return ready(objects_run)


def guarded(run, *, port=8420, **options):
    """The application on a run, and the guard before it."""
    app = create_app(run, limits=LIMITS, **options)
    config = GuardConfig(
        token=TOKEN,
        port=port,
        hosts=(*LOOPBACK, "testserver"),
        max_body=LIMITS.max_bytes + FORM_BYTES,
        body_seconds=5,
        open_paths={"/healthz"},
    )
    return app, Guard(app, config)


def ask(app, method, path, *, token=TOKEN, headers=(), **options):
    """One request to an application, without a server."""

    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE, timeout=60) as client:
            known = {"authorization": f"Bearer {token}"} if token else {}
            return await client.request(method, path, headers={**known, **dict(headers)}, **options)

    return asyncio.run(once())


@contextlib.contextmanager
def serving(run, **options):
    """A server in a thread; the address of its page, with the token."""
    import uvicorn

    listening = listen("127.0.0.1", 0)
    port = listening.getsockname()[1]
    _, guard = guarded(run, port=port, **options)
    config = uvicorn.Config(guard, http="h11", ws="none", log_config=None, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/?token={TOKEN}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()


def send_raw(port, content):
    """What a server answers to bytes, until it closes or says nothing for a second."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(content)
        with contextlib.suppress(OSError):
            while part := connection.recv(2**16):
                received += part
    return received
