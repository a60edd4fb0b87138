"""The files of a page, as they lie in the package."""

from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""Content types by suffix; other files are not served."""


@dataclass(frozen=True)
class PageFile:
    """One file, read once."""

    content: bytes
    content_type: str


def page_files(folder: Path) -> dict[str, PageFile]:
    """All files of a page by the path under which they are asked for; `index.html` also by that of its folder.

    Args:
        folder: Of the package. No path from a request is ever joined to it: what is not listed is not there.
    """
    found = {
        f"/{path.relative_to(folder).as_posix()}": PageFile(path.read_bytes(), TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES
    }
    return {**found, **{name.removesuffix("index.html"): file for name, file in found.items() if name[-11:] == _INDEX}}


_INDEX = "/index.html"


def serve_page(app: FastAPI, folder: Path) -> None:
    """Lets an application serve the files of a page, outside its interface.

    Args:
        app: The application.
        folder: Of the page.
    """
    for name, file in page_files(folder).items():

        async def give(request: Request, file: PageFile = file) -> Response:
            return Response(file.content, media_type=file.content_type)

        app.add_route(name, give, methods=["GET"], include_in_schema=False)
