import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tinyunet.web.guard import LOOPBACK, POLICY, Guard, GuardConfig, new_token, same_host

TOKEN = "0a-Bz_9" * 6 + "x"  # as long as one is, and the same in every process that collects tests
HERE = "http://127.0.0.1:8420"


async def echo(request: Request) -> Response:
    body = await request.body()
    return PlainTextResponse(f"{request.method} {request.url.path} {request.url.query} {len(body)}")


def application() -> Starlette:
    return Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "HEAD"])])


def config(**changes) -> GuardConfig:
    given = {"token": TOKEN, "port": 8420, "hosts": (*LOOPBACK, "lab.example.org"), "max_body": 100}
    return GuardConfig(**{**given, **changes})


def ask(method="GET", path="/", *, base=HERE, bearer=TOKEN, settings=None, **options) -> httpx.Response:
    """One request to a guarded application, without a server."""
    headers = options.pop("headers", {})
    if bearer is not None:
        headers = {"authorization": f"Bearer {bearer}", **headers}

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(application(), settings or config()))
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=headers, **options)

    return asyncio.run(once())


def test_a_request_with_the_token_passes():
    assert ask("POST", "/a?b=1", content=b"12345").text == "POST /a b=1 5"


def test_every_answer_has_the_headers_that_keep_a_page_to_itself():
    for answer in (ask(), ask(bearer="wrong")):
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY


def test_a_header_that_the_application_sets_stays():
    async def cached(scope, receive, send):
        await Response("x", headers={"cache-control": "max-age=60"})(scope, receive, send)

    async def once():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(Guard(cached, config())), base_url=HERE) as client:
            return await client.get("/", headers={"authorization": f"Bearer {TOKEN}"})

    assert asyncio.run(once()).headers.get_list("cache-control") == ["max-age=60"]


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address():
    answer = ask(path=f"/page?a=1&token={TOKEN}&b=", bearer=None)
    assert (answer.status_code, answer.headers["location"]) == (303, "/page?a=1&b=")
    cookie = answer.headers["set-cookie"]
    assert cookie == f"tinyunet-8420={TOKEN}; Path=/; HttpOnly; SameSite=Strict"
    again = ask(bearer=None, headers={"cookie": f"other=1; {cookie.split(';')[0]}"})
    assert again.status_code == 200


def test_an_address_cannot_lead_to_another_server():
    for path in ("//evil.example/a", "/\\evil.example/a"):
        answer = ask(path=f"{HERE}{path}?token={TOKEN}", bearer=None)
        assert answer.headers["location"].startswith("/")
        assert answer.headers["location"][1] not in "/\\"


@pytest.mark.parametrize("given", [None, "", "wrong", TOKEN[:-1], TOKEN + "a", "Ünï"])
def test_without_the_token_nothing_is_told(given):
    answer = ask(bearer=None, headers={"authorization": b"Bearer " + given.encode()} if given is not None else {})
    assert answer.status_code == 401
    assert answer.json()["detail"].startswith("The token of this start is missing or wrong: open the address")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("path", "headers", "method"),
    [
        ("/?token=wrong", {}, "GET"),
        (f"/?token={TOKEN}&token={TOKEN}", {}, "GET"),
        (f"/?token={TOKEN}", {}, "POST"),
        ("/", {"cookie": f"tinyunet-8421={TOKEN}"}, "GET"),
        ("/", {"authorization": f"Basic {TOKEN}"}, "GET"),
    ],
)
def test_the_token_in_a_wrong_place_is_none(path, headers, method):
    assert ask(method, path, bearer=None, headers=headers).status_code == 401


def test_open_paths_want_no_token_but_a_known_name():
    settings = config(open_paths={"/healthz"})
    assert ask(path="/healthz", bearer=None, settings=settings).status_code == 200
    assert ask(path="/healthz/", bearer=None, settings=settings).status_code == 401
    assert ask(path="/healthz", bearer=None, base="http://evil.example", settings=settings).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "LOCALHOST", "[::1]:1", "lab.example.org", "lab.example.org:443"])
def test_known_names_pass(host):
    assert ask(headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1:8420@evil", "", "[::2]", "a b"])
def test_other_names_do_not(host):
    answer = ask(headers={"host": host})
    assert answer.status_code == 400
    assert "--allow-host NAME" in answer.json()["detail"]


def test_two_host_headers_are_refused():
    hosts = [("host", "127.0.0.1"), ("host", "evil.example")]
    answer = ask(bearer=None, headers=hosts)
    assert (answer.status_code, answer.json()["detail"]) == (400, "There must be one header `host`, got 2.")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8420", 200),
        ("http://127.0.0.1:3000", 403),  # another server on this machine
        ("http://evil.example", 403),
        ("null", 403),
        ("https://127.0.0.1:8420@evil.example", 403),
        ("file://127.0.0.1:8420", 403),
    ],
)
def test_pages_of_other_origins_are_refused(origin, status):
    assert ask("POST", headers={"origin": origin, "host": "127.0.0.1:8420"}).status_code == status


def test_behind_a_proxy_with_tls_the_origin_is_that_of_the_name():
    assert ask("POST", headers={"origin": "https://lab.example.org", "host": "lab.example.org"}).status_code == 200
    assert not same_host("https://lab.example.org:444", "lab.example.org")


def test_a_picture_in_a_hostile_page_is_refused_and_a_link_to_us_is_not():
    hostile = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
    assert ask(headers=hostile).status_code == 403
    assert ask(headers={**hostile, "sec-fetch-mode": "navigate"}).status_code == 200
    assert ask("POST", headers={**hostile, "sec-fetch-mode": "navigate"}).status_code == 403


async def parts(count: int):
    for _ in range(count):
        yield b"x" * 50


def test_a_body_is_bounded_by_what_it_claims():
    assert ask("POST", content=b"x" * 100).status_code == 200
    answer = ask("POST", content=b"x" * 101)
    assert (answer.status_code, answer.json()) == (413, {"detail": "The body must be at most 9.54e-05 MiB."})
    assert ask("POST", headers={"content-length": "99999999999999999"}, content=parts(1)).status_code == 413
    for claim in ("-1", "1e3", "9" * 30):
        assert ask("POST", headers={"content-length": claim}, content=parts(1)).status_code == 400


def test_a_body_in_chunks_is_bounded_while_it_is_read():
    assert ask("POST", content=parts(2)).text.endswith(" 100")
    assert ask("POST", content=parts(3)).status_code == 413


def test_a_body_that_does_not_come_is_given_up():
    async def slow():
        yield b"x"
        await asyncio.sleep(5)
        yield b"x"

    async def once():
        statuses = []

        async def receive():
            await asyncio.sleep(5)

        async def send(message):
            statuses.append(message.get("status"))

        headers = [(b"host", b"localhost"), (b"authorization", f"Bearer {TOKEN}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
        await Guard(application(), config(body_seconds=0.05))(scope, receive, send)
        return statuses[0]

    assert asyncio.run(once()) == 408


def test_a_websocket_is_closed():
    async def once():
        sent = []

        async def send(message):
            sent.append(message)

        await Guard(application(), config())({"type": "websocket"}, None, send)
        return sent

    assert asyncio.run(once()) == [{"type": "websocket.close", "code": 1008}]


def test_tokens_differ():
    assert len({new_token() for _ in range(100)}) == 100
