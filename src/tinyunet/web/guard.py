"""Who may speak to a server of ours: a token, known names, bounded bodies, and headers that keep a page to itself.

127.0.0.1 alone is no protection. A hostile page in the user's own browser can send requests there (which the token and
the check of `Origin` stop), and can give its own name our address (DNS rebinding, which the check of `Host` stops).
"""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names that a server on this machine always answers to."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "worker-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What a page of ours may load: its own files, and pictures that it makes itself. No script stands in a page."""

_HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::([0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}

NO_TOKEN = (
    "The token of this start is missing or wrong: open the address that the command printed, or send "
    "`Authorization: Bearer TOKEN`."
)


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """What a guard lets through.

    Attributes:
        token: What a request must know; made anew at each start.
        port: That is listened on: it is part of the cookie's name, so that two servers on a machine do not take each
            other's.
        hosts: Names, without a port, that requests may be sent to.
        max_body: Bytes of a body.
        body_seconds: So long a body may take to arrive.
        open_paths: Paths that want no token.
    """

    token: str
    port: int
    hosts: Collection[str] = LOOPBACK
    max_body: int = 2**20
    body_seconds: float = 120.0
    open_paths: Collection[str] = ()

    @property
    def cookie(self) -> str:
        """The name of the cookie that carries the token."""
        return f"tinyunet-{self.port}"


def new_token() -> str:
    """A token that nobody guesses: 256 random bits, in characters that an address can hold.

    Example:
        >>> len(new_token())
        43
    """
    return secrets.token_urlsafe(32)


class Refusal(Exception):
    """A request that is not let through.

    Args:
        status: Of HTTP.
        detail: One line that says why, and the way out.
    """

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Guard:
    """An ASGI application that lets through to another only what may pass, and gives its answers their headers.

    A token is taken from the query of a GET of a page (`?token=`; the answer is a cookie that no script can read and
    the address without it), from that cookie, or from `Authorization: Bearer`. Every answer of the guard's own is
    `{"detail": "one line"}`.

    Args:
        app: What is guarded.
        config: What may pass.
    """

    def __init__(self, app: App, config: GuardConfig):
        self.app = app
        self.config = config
        self._hosts = frozenset(name.lower().strip("[]") for name in config.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection, as ASGI asks for."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})  # none of ours speaks anything else
        headers = Headers(scope)
        guarded = _with_headers(send)
        try:
            self._check_origin(headers)
            if (clean := self._token_in_query(scope)) is not None:
                return await _answer(guarded, 303, location=clean, cookie=self._cookie())
            if scope["path"] not in self.config.open_paths and not self._knows_token(headers):
                raise Refusal(401, NO_TOKEN)
            claimed = self._claimed_bytes(headers)
        except Refusal as refusal:
            return await _answer(guarded, refusal.status, detail=refusal.detail)
        if claimed > self.config.max_body:
            await _discard(receive, most=4 * self.config.max_body)
            return await _answer(guarded, 413, detail=too_large(self.config.max_body))
        return await self.app(scope, Bounded(receive, self.config), guarded)

    def _check_origin(self, headers: "Headers") -> None:
        """Refuses what was sent to a name that is not ours, or by a page that is not ours."""
        host = _HOST.fullmatch(headers.only("host") or "")
        if host is None or host[1].lower().strip("[]") not in self._hosts:
            raise Refusal(
                400,
                "This server does not answer to the name in `Host`: use the address that the command printed, or start "
                "it with --allow-host NAME.",
            )
        origin = headers.only("origin")
        if origin is not None and not same_host(origin, host[0]):
            raise Refusal(403, "Requests from pages of other origins are not answered.")
        navigates = headers.only("sec-fetch-mode") == "navigate" and headers.method in ("GET", "HEAD")
        if headers.only("sec-fetch-site") in ("cross-site", "same-site") and not navigates:
            raise Refusal(403, "Requests from pages of other origins are not answered.")

    def _token_in_query(self, scope: Scope) -> str | None:
        """The address without the token, where a page is asked for with the right one; None where none is there."""
        if scope["method"] not in ("GET", "HEAD"):
            return None
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=None)
        given = [value for name, value in pairs if name == "token"]
        if not given:
            return None
        if len(given) > 1 or not self._is_token(given[0]):
            raise Refusal(401, NO_TOKEN)
        path = (scope.get("raw_path") or b"/").decode("latin-1").split("?")[0]
        rest = urlencode([pair for pair in pairs if pair[0] != "token"])
        return "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")  # never //host, which is another server

    def _knows_token(self, headers: "Headers") -> bool:
        scheme, _, bearer = (headers.only("authorization") or "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        return any(self._is_token(value) for value in headers.cookies(self.config.cookie))

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode("utf-8", "replace"), self.config.token.encode())

    def _cookie(self) -> str:
        return f"{self.config.cookie}={self.config.token}; Path=/; HttpOnly; SameSite=Strict"

    def _claimed_bytes(self, headers: "Headers") -> int:
        """The length that a body claims; 0 where it does not say it, as chunked ones do not."""
        claimed = headers.only("content-length")
        if claimed is None:
            return 0
        if not re.fullmatch(r"[0-9]{1,18}", claimed):
            raise Refusal(400, "`Content-Length` must be a number of bytes.")
        return int(claimed)


class Headers:
    """The headers of a request, of which the few that are looked at may come once only.

    Args:
        scope: Of the request, as ASGI gives it.
    """

    def __init__(self, scope: Scope):
        self.method: str = scope["method"]
        self._pairs: Iterable[tuple[bytes, bytes]] = scope["headers"]

    def only(self, name: str) -> str | None:
        """The one header of a name, or None.

        Raises:
            Refusal: There are several: which of them another program in between has read, nobody knows.
        """
        found = [value.decode("latin-1") for key, value in self._pairs if key.decode("latin-1").lower() == name]
        if len(found) > 1:
            raise Refusal(400, f"There must be one header `{name}`, got {len(found)}.")
        return found[0].strip() if found else None

    def cookies(self, name: str) -> list[str]:
        """The values of a cookie."""
        lines = [value.decode("latin-1") for key, value in self._pairs if key.lower() == b"cookie"]
        pairs = [part.strip().partition("=") for line in lines for part in line.split(";")]
        return [value for key, _, value in pairs if key == name]


class Bounded:
    """Receives the body of a request, and no more of it than is allowed, whatever it claims.

    Args:
        receive: Where it comes from.
        config: The bounds.
    """

    def __init__(self, receive: Receive, config: GuardConfig):
        self._receive = receive
        self._config = config
        self._seen = 0
        self._until = time.monotonic() + config.body_seconds
        self._whole = False

    async def __call__(self) -> Message:
        """The next part.

        Raises:
            HTTPException: It is too large (413) or takes too long (408); the application answers with that.
        """
        if self._whole:
            return await self._receive()  # waits until the client has gone
        try:
            message = await asyncio.wait_for(self._receive(), max(self._until - time.monotonic(), 0.01))
        except TimeoutError:
            raise HTTPException(
                408, f"The body must arrive within {self._config.body_seconds:g} s.", {"Connection": "close"}
            ) from None
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
        if self._seen > self._config.max_body:
            if not self._whole:
                await _discard(self._receive, most=4 * self._config.max_body)
            raise HTTPException(413, too_large(self._config.max_body), {"Connection": "close"})
        return message


def too_large(most: int) -> str:
    """What is said of a body beyond the bound.

    Example:
        >>> too_large(2**21)
        'The body must be at most 2 MiB.'
    """
    return f"The body must be at most {most / 2**20:.3g} MiB."


def same_host(origin: str, host: str) -> bool:
    """Whether a page of an origin was served under this host.

    Args:
        origin: As a browser sends it, "null" where it hides it.
        host: Of the request, with the port if it is not the default one.

    Example:
        >>> same_host("http://localhost:8420", "localhost:8420"), same_host("https://a.org", "a.org:443")
        (True, True)
        >>> same_host("http://localhost:3000", "localhost:8420"), same_host("null", "localhost")
        (False, False)
    """
    scheme, separator, place = origin.partition("://")
    if not separator or scheme.lower() not in _DEFAULT_PORTS:
        return False
    default = _DEFAULT_PORTS[scheme.lower()]
    return _with_port(place, default) == _with_port(host, default)


def _with_port(host: str, default: str) -> tuple[str, str] | None:
    match = _HOST.fullmatch(host)
    return None if match is None else (match[1].lower(), match[2] or default)


def _with_headers(send: Send) -> Send:
    """Sends, with the headers of ours which an answer does not set itself."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            added = [(name, value) for name, value in _HEADERS.items() if name not in there]
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await send(message)

    return sending


async def _discard(receive: Receive, *, most: int, seconds: float = 2.0) -> None:
    """Reads and forgets a body, unless it is far too long: many clients look for an answer only once all is sent."""
    seen = 0
    try:
        async with asyncio.timeout(seconds):
            while seen <= most:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _answer(send: Send, status: int, *, detail: str = "", location: str = "", cookie: str = "") -> None:
    """Answers without asking the application."""
    body = json.dumps({"detail": detail}).encode() if detail else b""
    headers = [(b"content-length", str(len(body)).encode())]
    if detail:
        headers += [(b"content-type", b"application/json"), (b"connection", b"close")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if location:
        headers += [(b"location", location.encode("latin-1")), (b"set-cookie", cookie.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
