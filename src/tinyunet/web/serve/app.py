"""The interface: what can be asked of a served network, under `/api`, and the page on it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.datastructures import UploadFile

from tinyunet import __version__
from tinyunet.runs.run import Run
from tinyunet.web.files import serve_page
from tinyunet.web.problems import answer_problems
from tinyunet.web.serve.about import describe
from tinyunet.web.serve.metrics import TEXT, Metrics
from tinyunet.web.serve.reference import reference_page
from tinyunet.web.serve.results import TYPES, Answer, Result, answer
from tinyunet.web.serve.worker import Task, Worker
from tinyunet.web.uploads import UploadError, UploadLimits

FORM_BYTES = 2**16
"""What a form may hold besides the image."""

PAGE = Path(__file__).parent / "page"


class Problem(BaseModel):
    """What an error says.

    Attributes:
        detail: One line: what is wrong, and the way out.
    """

    detail: str


class Health(BaseModel):
    """Whether the server takes requests.

    Attributes:
        status: "ok".
    """

    status: str


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request makes no sense: no image, or a form that is damaged."},
    401: {"model": Problem, "description": "The token is missing or wrong."},
    403: {"model": Problem, "description": "A page of another origin asks."},
    404: {"model": Problem, "description": "There is nothing at this address."},
    405: {"model": Problem, "description": "The address does not take this method."},
    408: {"model": Problem, "description": "The body took too long to arrive."},
    413: {"model": Problem, "description": "Too many bytes, or too many pixels."},
    415: {"model": Problem, "description": "Not an image of a format that is read."},
    422: {"model": Problem, "description": "An image that cannot be read or predicted, or a parameter that is wrong."},
    503: {
        "model": Problem,
        "description": "Too many requests wait, or this one took too long.",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    },
}
_ANYWHERE: dict[int | str, dict[str, Any]] = {status: _PROBLEMS[status] for status in (400, 401, 403, 405)}

_TEXT = {"schema": {"type": "string"}}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "string", "format": "binary", "description": "The file."}},
            }
        },
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
_RESULTS = {
    kind.split(";")[0]: {"schema": {"type": "string", "format": "binary"}}
    for kind in TYPES.values()
    if "json" not in kind
} | {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}}

_PREDICTED = {
    "description": "What was asked for; what deserves a look is said in the header `X-Tinyunet-Notes`.",
    "content": _RESULTS,
}


def create_app(run: Run, *, limits: UploadLimits | None = None, most_waiting: int = 8, seconds: float = 120) -> FastAPI:
    """The application on one network.

    Args:
        run: The trained network, ready to predict.
        limits: How large uploads may be.
        most_waiting: Requests that may wait while one is computed.
        seconds: So long a request may wait and be computed.

    Returns:
        An application that wants a `tinyunet.web.guard.Guard` before it; its `state` holds `metrics` and `worker`.
    """
    limits = limits or UploadLimits()
    worker = Worker(most_waiting=most_waiting, seconds=seconds)
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker.open()
        yield
        await asyncio.to_thread(worker.close)

    app = FastAPI(
        title="tinyunet",
        version=__version__,
        description="Predictions of a trained network. Requests carry the token that the command printed.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses=_ANYWHERE,
        dependencies=[Depends(HTTPBearer(auto_error=False, description="The token that the command printed."))],
    )
    app.state.metrics, app.state.worker = metrics, worker
    answer_problems(app)
    about = describe(run, limits)

    @app.post(
        "/api/predict",
        summary="Predict an image",
        response_class=Response,
        openapi_extra={"requestBody": _BODY},
        responses={**_PROBLEMS, 200: _PREDICTED},
    )
    async def predict(
        request: Request,
        result: Annotated[
            Result,
            Query(
                description="labels: PNG with the values of the training masks; probabilities: NumPy, float32, the "
                "class last; overlay: PNG to look at; uncertainty: PNG, black is sure; objects: CSV of measurements "
                "(objects.json: the same as JSON); all: a zip of all of these; view: a zip of what the page shows."
            ),
        ] = "labels",
        tta: Annotated[bool, Query(description="Average over flips and turns: slower, a bit better.")] = False,
    ) -> Response:
        """Send the image as the body, or as the field `image` of a form: PNG, JPEG, BMP, TIFF or NumPy."""
        with worker.place():
            content = await _image_of(request)

            def compute(task: Task) -> Answer:
                began = time.monotonic()
                found = answer(run, content, result, limits=limits, tta=tta, progress=task.attend)
                metrics.observe(time.monotonic() - began, found.pixels)
                return found

            found = await _while_connected(request, worker, compute)
        headers = {"Content-Disposition": f'attachment; filename="{found.name}"'}
        if found.notes:
            headers["X-Tinyunet-Notes"] = " ".join(found.notes).encode("ascii", "replace").decode()
        return Response(found.content, media_type=found.content_type, headers=headers)

    @app.get("/api/model", summary="What the network is", response_description="In plain values.")
    async def model() -> dict[str, Any]:
        """Its task, classes and colours, the channels of its images, and the limits of the server."""
        return about

    @app.get("/healthz", summary="Whether the server takes requests", response_description="It does.")
    async def healthz() -> Health:
        """Wants no token."""
        return Health(status="ok")

    @app.get(
        "/metrics",
        summary="Counts and times",
        response_class=Response,
        responses={200: {"description": "A line for each value.", "content": {"text/plain": _TEXT}}},
    )
    async def of_metrics() -> Response:
        """In the text format of Prometheus."""
        return Response(metrics.text(inside=worker.inside), media_type=TEXT)

    @app.get("/api", include_in_schema=False)
    async def reference() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()))

    serve_page(app, PAGE)
    return app


async def _image_of(request: Request) -> bytes:
    """The bytes of the image that a request carries, as a field of a form or as its body."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "multipart/form-data":
        return await request.body()
    async with request.form(max_files=1, max_fields=4) as form:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise UploadError(400, "The form has no file in its field `image`.")
        return await image.read()


async def _while_connected(request: Request, worker: Worker, compute: Any) -> Answer:
    """What the worker computes, as long as the client waits for it."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    computing = asyncio.ensure_future(worker.compute(compute))
    watching = asyncio.ensure_future(gone())
    try:
        await asyncio.wait({computing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not computing.done():
            raise UploadError(400, "The client has gone.")
        return computing.result()
    finally:
        for task in (computing, watching):
            task.cancel()
        await asyncio.gather(computing, watching, return_exceptions=True)  # so that none is left that nobody looks at
