"""The interface of the studio, under `/api`, and its page."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from tinyunet import __version__
from tinyunet.errors import DataError, TinyUNetError
from tinyunet.web.files import page_files
from tinyunet.web.problems import answer_problems, one_line
from tinyunet.web.studio import results
from tinyunet.web.studio.folder import MOST_PIXELS, Entry
from tinyunet.web.studio.state import state_of
from tinyunet.web.studio.strokes import MAX_BYTES, labels_png, read_stroke
from tinyunet.web.studio.studio import Studio
from tinyunet.web.uploads import UploadError, UploadLimits, read_upload

PAGE = Path(__file__).parent / "page"

UPLOAD_BYTES = 2**28
"""Of all images that are sent at once."""

LIMITS = UploadLimits(max_bytes=2**27, max_pixels=MOST_PIXELS)
"""Of each of them: 4096² pixels."""

MOST_SIDE = 2**31
"""Of an image, in pixels; how many there may be is another matter."""

STATES_A_SECOND = 4.0
BEAT_SECONDS = 15.0

_REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
)
"""The report is a page in one file, whose own policy names its script by a hash; here it is kept apart besides."""

_PNG = "image/png"
_OPTIONAL: dict[int | str, dict[str, Any]] = {404: {"description": "There is none of that id."}}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NewClass(_Strict):
    """A class that is to be added.

    Attributes:
        name: What it is called.
        color: As in "#e69f00".
    """

    name: str
    color: str


class ChangedClass(_Strict):
    """What a class is to be called, and how it is to be drawn, from now on; what is left out stays.

    Attributes:
        name: What it is called.
        color: As in "#e69f00".
    """

    name: str | None = None
    color: str | None = None


class View(_Strict):
    """A part of an image, in pixels.

    Attributes:
        x: First column.
        y: First row.
        width: Columns.
        height: Rows.
    """

    x: int = Field(ge=0, le=MOST_SIDE)
    y: int = Field(ge=0, le=MOST_SIDE)
    width: int = Field(ge=1, le=MOST_SIDE)
    height: int = Field(ge=1, le=MOST_SIDE)


class Focus(_Strict):
    """What is looked at.

    Attributes:
        image: Its id.
        view: The part of it that is seen; left out for all.
    """

    image: str
    view: View | None = None


class Training(_Strict):
    """Whether to train.

    Attributes:
        run: On, or paused.
    """

    run: bool


class Wanted(_Strict):
    """What to export.

    Attributes:
        format: As for `tinyunet export`.
    """

    format: str


Id = Annotated[str, PathParameter(max_length=64)]
Side = Annotated[int, Query(ge=0, le=2**16)]


def create_app(studio: Studio) -> FastAPI:
    """The application on a folder that is open.

    Args:
        studio: The folder and its training; both are closed when the server ends.

    Returns:
        An application that wants a `tinyunet.web.guard.Guard` before it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(studio.start)
        yield
        await run_in_threadpool(studio.close)

    app = FastAPI(
        title="tinyunet studio",
        version=__version__,
        description="What the page asks of its server. Requests carry the token that the command printed.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    answer_problems(app)
    _add_images(app, studio)
    _add_paint(app, studio)
    _add_training(app, studio)
    _add_results(app, studio)

    @app.get("/api/state", summary="Everything that the page shows")
    async def state() -> JSONResponse:
        """But for the pictures."""
        return JSONResponse(await run_in_threadpool(state_of, studio))

    @app.get("/api/events", summary="The same, whenever it changes", response_class=StreamingResponse)
    async def events() -> StreamingResponse:
        """As server-sent events of the type `state`."""
        return StreamingResponse(_events(studio), media_type="text/event-stream")

    @app.get("/healthz", summary="Whether the server takes requests")
    async def healthz() -> dict[str, str]:
        """Wants no token."""
        return {"status": "ok"}

    for name, file in page_files(PAGE).items():
        where = "/" if name == "/" else f"/page{name}"

        async def give(request: Request, content: bytes = file.content, kind: str = file.content_type) -> Response:
            return Response(content, media_type=kind)

        app.add_route(where, give, methods=["GET"], include_in_schema=False)
    return app


async def _events(studio: Studio) -> AsyncIterator[str]:
    """The state at every change, and a sign of life in between."""
    told, beat = -1, 0.0
    while True:
        if studio.revision != told:
            state = await run_in_threadpool(state_of, studio)
            told, beat = state["revision"], 0.0
            yield f"event: state\ndata: {json.dumps(state)}\n\n"
        elif beat >= BEAT_SECONDS:
            beat = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(1 / STATES_A_SECOND)
        beat += 1 / STATES_A_SECOND


def _entry(studio: Studio, identity: str) -> Entry:
    entry = studio.folder.get(identity)
    if entry is None or entry.stem not in studio.gallery:
        raise HTTPException(404, "There is no image of that id.")
    return entry


async def _body(request: Request, *, most: int) -> bytes:
    """The body of a request, of which no more is read than is allowed."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"The body must be at most {most / 2**20:.3g} MiB.", {"Connection": "close"})
        parts.append(part)
    return b"".join(parts)


def _add_images(app: FastAPI, studio: Studio) -> None:
    @app.post(
        "/api/images",
        summary="Add images",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "multipart/form-data": {
                        "schema": {
                            "type": "object",
                            "required": ["files"],
                            "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                        }
                    }
                },
            }
        },
    )
    async def add(request: Request) -> dict[str, Any]:
        """Each is kept under a name that the server makes; one that is refused does not hold up the others."""
        added, refused = [], []
        async with request.form(max_files=1000, max_fields=16) as form:
            files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
            if not files:
                raise HTTPException(400, "The form has no file in its field `files`.")
            for file in files:
                name = one_line(file.filename or "image")[-120:]
                try:
                    added.append(await run_in_threadpool(_added, studio, await file.read(), name))
                except (UploadError, TinyUNetError) as error:
                    detail = error.detail if isinstance(error, UploadError) else str(error)
                    refused.append({"name": name, "detail": one_line(detail)})
        return {"added": added, "refused": refused}

    @app.delete("/api/images/{id}", summary="Put an image and its paint aside", responses=_OPTIONAL)
    def remove(id: Id) -> dict[str, bool]:
        """They lie in `.studio/removed` of the folder then."""
        studio.remove(_entry(studio, id))
        return {"removed": True}

    @app.post("/api/images/{id}/restore", summary="Take it back", responses=_OPTIONAL)
    def restore(id: Id) -> dict[str, str]:
        """With its paint."""
        entry = studio.restore(id)
        if entry is None:
            raise HTTPException(404, "There is no removed image of that id.")
        return {"restored": entry.id}

    @app.get("/api/images/{id}/pixels.png", summary="The image as it is shown", responses=_OPTIONAL)
    def pixels(id: Id) -> Response:
        """8 bits of red, green and blue, full size."""
        return Response(studio.picture(_entry(studio, id)), media_type=_PNG)

    @app.get("/api/images/{id}/thumbnail.png", summary="The image, small", responses=_OPTIONAL)
    def thumbnail(id: Id) -> Response:
        """At most 160 pixels on the long side."""
        return Response(studio.thumbnail(_entry(studio, id)), media_type=_PNG)


def _added(studio: Studio, content: bytes, name: str) -> str:
    """Takes one file in, and returns its id."""
    upload = read_upload(content, LIMITS)
    if upload.image.ndim != 3:
        raise UploadError(422, "The upload is a volume, and the studio paints images of two axes.")
    return studio.add(upload.image, name).id


def _add_paint(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/images/{id}/labels.png", summary="What is painted", responses=_OPTIONAL)
    def labels(id: Id) -> Response:
        """8 bits of grey: the class, 255 where nothing is painted."""
        paint, revision = studio.canvas(_entry(studio, id)).snapshot()
        return Response(labels_png(paint), media_type=_PNG, headers={"X-Revision": str(revision)})

    @app.post(
        "/api/images/{id}/strokes",
        summary="Paint",
        responses={**_OPTIONAL, 507: {"description": "The disk is full; nothing was painted."}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {_PNG: {"schema": {"type": "string", "format": "binary"}}},
            },
            "parameters": [
                {
                    "name": "X-Stroke-Id",
                    "in": "header",
                    "schema": {"type": "string", "maxLength": 64},
                    "description": "Makes a stroke that is sent again harmless.",
                }
            ],
        },
    )
    async def strokes(id: Id, request: Request, x: Side, y: Side, width: Side, height: Side) -> dict[str, int]:
        """A rectangle as PNG, 8 bits of grey: the class, 255 erased, 254 unchanged. Answered once the disk has it."""
        entry = _entry(studio, id)
        content = await _body(request, most=MAX_BYTES)
        return {
            "revision": await run_in_threadpool(
                _painted, studio, entry, content, (x, y, width, height), request.headers.get("x-stroke-id")
            )
        }

    @app.post("/api/classes", summary="Add a class")
    def add_class(wanted: NewClass) -> dict[str, int]:
        """Its id is the number of those before."""
        studio.add_class(wanted.name, wanted.color)
        return {"id": studio.folder.labelling.num_classes - 1}

    @app.patch("/api/classes/{id}", summary="Rename or recolour a class", responses=_OPTIONAL)
    def change_class(id: Annotated[int, PathParameter(ge=0, le=255)], wanted: ChangedClass) -> dict[str, int]:
        """What is left out stays."""
        if id >= studio.folder.labelling.num_classes:
            raise HTTPException(404, "There is no class of that id.")
        studio.change_class(id, name=wanted.name, color=wanted.color)
        return {"id": id}


def _painted(studio: Studio, entry: Entry, content: bytes, box: tuple[int, int, int, int], identity: str | None) -> int:
    """Puts a stroke on an image; its revision."""
    classes = studio.folder.labelling.num_classes
    stroke = read_stroke(content, box=box, image=entry.shape, classes=classes, identity=identity)
    try:
        return studio.paint(entry, stroke)
    except DataError as error:
        raise HTTPException(507, one_line(str(error))) from None


def _add_training(app: FastAPI, studio: Studio) -> None:
    def shown(id: str) -> Any:
        found = studio.training.shown(_entry(studio, id).stem)
        if found is None:
            raise HTTPException(404, "The image has not been predicted yet.")
        return found

    @app.get("/api/images/{id}/prediction.png", summary="What the network says", responses=_OPTIONAL)
    def prediction(id: Id, version: Annotated[str, Query(max_length=20)] = "") -> Response:
        """8 bits of grey: the class; 255 where nothing has been predicted yet. `version` defeats caches."""
        found = shown(id)
        return Response(found.labels, media_type=_PNG, headers={"X-Version": str(found.version)})

    @app.get("/api/images/{id}/doubt.png", summary="How unsure it is", responses=_OPTIONAL)
    def doubt(id: Id, version: Annotated[str, Query(max_length=20)] = "") -> Response:
        """8 bits of grey: 0 where it is certain, 255 where all classes are equally probable."""
        found = shown(id)
        return Response(found.doubt, media_type=_PNG, headers={"X-Version": str(found.version)})

    @app.post("/api/focus", summary="Say what is looked at", responses=_OPTIONAL)
    def focus(wanted: Focus) -> dict[str, bool]:
        """It is predicted first, and of a large image first what is seen."""
        view, stem = wanted.view, _entry(studio, wanted.image).stem
        seen = None if view is None else (slice(view.y, view.y + view.height), slice(view.x, view.x + view.width))
        studio.training.focus(stem, seen)
        return {"focused": True}

    @app.post("/api/training", summary="Train, or pause")
    def training(wanted: Training) -> dict[str, bool]:
        """It is on at the start, and rests by itself when nothing changes any more."""
        studio.training.run(wanted.run)
        return {"run": wanted.run}


def _add_results(app: FastAPI, studio: Studio) -> None:
    @app.post("/api/export", summary="The model as a file", response_class=FileResponse)
    def export(wanted: Wanted) -> Response:
        """Compared with what it is here before it is given."""
        return _download(lambda folder: results.export(studio, wanted.format, folder))

    @app.get("/api/labels.zip", summary="The predicted masks of all images", response_class=FileResponse)
    def labels_zip() -> Response:
        """As files like the masks of this data set."""
        return _download(lambda folder: results.labels_zip(studio, folder))

    @app.get("/report", summary="The report", response_class=HTMLResponse)
    def report() -> Response:
        """Made now."""
        headers = {"Content-Security-Policy": _REPORT_POLICY}
        return Response(results.report(studio), media_type="text/html; charset=utf-8", headers=headers)


def _download(make: Any) -> Response:
    """A file that is made in a folder of its own, which is removed once it has been sent."""
    folder = Path(tempfile.mkdtemp(prefix="tinyunet-"))
    try:
        path = make(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return FileResponse(path, filename=path.name, background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True))
