"""What goes wrong in a request, as one line of JSON: `{"detail": "…"}`, whoever found it."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tinyunet.errors import TinyUNetError
from tinyunet.web.uploads import UploadError


def answer_problems(app: FastAPI) -> None:
    """Makes an application answer every error in the same way.

    Args:
        app: Whose errors: those of FastAPI's own checks of parameters, those of HTTP (a page that is not there),
            refused uploads, errors of the user's as the command line prints them, and faults of ours, whose traceback
            the server writes to stderr and not to the client.
    """

    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        known = error.detail if error.detail != HTTPStatus(error.status_code).phrase else ""
        detail = known or _SAID.get(error.status_code, error.detail)
        return JSONResponse({"detail": one_line(detail)}, error.status_code, error.headers)

    async def of_parameters(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": validation_text(error)}, 422)

    async def of_upload(request: Request, error: UploadError) -> JSONResponse:
        return JSONResponse({"detail": one_line(error.detail)}, error.status)

    async def of_user(request: Request, error: TinyUNetError) -> JSONResponse:
        return JSONResponse({"detail": one_line(str(error))}, 422)

    async def of_leaving(request: Request, error: ClientDisconnect) -> JSONResponse:
        return JSONResponse({"detail": "The client has gone."}, 400)

    async def of_ours(request: Request, error: Exception) -> JSONResponse:
        detail = f"internal error: {type(error).__name__}. The server's terminal has more; please report it."
        return JSONResponse({"detail": detail}, 500)

    # Starlette's types want handlers of any exception; each of ours is given the one that it is registered for.
    app.add_exception_handler(HTTPException, of_http)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, of_parameters)  # type: ignore[arg-type]
    app.add_exception_handler(UploadError, of_upload)  # type: ignore[arg-type]
    app.add_exception_handler(TinyUNetError, of_user)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, of_leaving)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, of_ours)


_SAID = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
}


def validation_text(error: RequestValidationError) -> str:
    """The first thing that is wrong with the parameters of a request, in one line.

    Args:
        error: What FastAPI found.
    """
    first, *_ = error.errors()
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return one_line(f"`{where}`: {first['msg']}.")


def one_line(text: str) -> str:
    r"""A text without line ends and other characters that a terminal would act upon, and of a bounded length.

    Example:
        >>> one_line("a\nb\x1b[31m")
        'a b?[31m'
    """
    joined = " ".join(text.split())
    return "".join(letter if letter.isprintable() else "?" for letter in joined)[:500]
