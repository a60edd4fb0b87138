import asyncio

import httpx
import pytest
from fastapi import FastAPI

from tinyunet.errors import DataError
from tinyunet.web.problems import answer_problems, one_line
from tinyunet.web.uploads import UploadError


def application() -> FastAPI:
    app = FastAPI()
    answer_problems(app)

    @app.get("/number")
    async def number(n: int, level: float = 1.0) -> int:
        return n

    @app.get("/fail/{kind}")
    async def fail(kind: str) -> None:
        raise {
            "upload": UploadError(415, "It is no image."),
            "user": DataError("a.png is empty.", "b.png too."),
            "ours": ZeroDivisionError("secret"),
        }[kind]

    return app


def ask(path: str, method: str = "GET") -> tuple[int, dict]:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path)

    answer = asyncio.run(once())
    return answer.status_code, answer.json()


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/number", 422, "`n`: Field required."),
        ("/number?n=x", 422, "`n`: Input should be a valid integer, unable to parse string as an integer."),
        ("/nothing", 404, "There is nothing at this address."),
        ("/fail/upload", 415, "It is no image."),
        ("/fail/user", 422, "a.png is empty. b.png too."),
    ],
)
def test_every_error_is_one_line(path, status, detail):
    assert ask(path) == (status, {"detail": detail})


def test_a_wrong_method():
    assert ask("/number", "DELETE") == (405, {"detail": "This address does not take that method."})


def test_a_fault_of_ours_says_nothing_of_its_inside():
    status, body = ask("/fail/ours")
    assert (status, body["detail"][:33]) == (500, "internal error: ZeroDivisionError")
    assert "secret" not in body["detail"]


def test_a_line_is_bounded():
    assert one_line("a\r\n" * 1000) == ("a " * 1000)[:500]
