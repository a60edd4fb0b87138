"""How many predictions does a server give in a second, how long does one take, and does nonsense do it any harm?"""

import argparse
import collections
import contextlib
import random
import signal
import socket
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import psutil

from benchmarks.measure import machine
from benchmarks.present import Cell, Table, add_output_options, present
from benchmarks.whole import TINYUNET


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        process: Its process.
        address: Without token and path.
        token: Of its start.
    """

    process: psutil.Process
    address: str
    token: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return urlsplit(self.address).port or 80

    def client(self) -> httpx.Client:
        """A client that knows the token."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.address, headers=headers, timeout=120)


@contextlib.contextmanager
def serve(run: Path, *options: str) -> Iterator[Server]:
    """A server of its own process, on loopback alone; it is told to end, and must do so well."""
    command = [*map(str, TINYUNET), "serve", str(run), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next((line.strip() for line in process.stdout if "?token=" in line), None)
            if url is None:
                raise SystemExit("The server did not start.")
            address, _, token = url.partition("/?token=")
            yield Server(psutil.Process(process.pid), address, token)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    if process.returncode:
        raise SystemExit(f"The server ended with status {process.returncode}.")


@dataclass
class Load:
    """What clients saw who asked at the same time.

    Attributes:
        seconds: For how long.
        latencies: Of each answer, in seconds.
        statuses: How often each came; 0 where there was no answer.
        memory: Resident bytes of the server, once a second.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    memory: list[int] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Answers that are no prediction."""
        return sum(count for status, count in self.statuses.items() if status != 200)

    def percentile(self, percent: float) -> float:
        """Within which so many of 100 were answered."""
        return float(np.percentile(self.latencies, percent))


def load(server: Server, images: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Lets clients ask, each again as soon as it is answered."""
    found, lock = Load(), threading.Lock()
    until = time.monotonic() + seconds

    def ask(number: int) -> None:
        with server.client() as client:
            for turn in range(number, 10**9):
                began = time.monotonic()
                if began >= until:
                    return
                try:
                    status = client.post("/api/predict", content=images[turn % len(images)]).status_code
                except httpx.HTTPError:
                    status = 0
                with lock:
                    found.latencies.append(time.monotonic() - began)
                    found.statuses[status] += 1

    began = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found.memory.append(server.process.memory_info().rss)
        time.sleep(min(1.0, seconds / 4))
    found.seconds = time.monotonic() - began
    return found


def nonsense(server: Server, count: int, image: bytes, *, seed: int = 0) -> collections.Counter[str]:
    """Sends requests that make no sense, each over a connection of its own.

    Returns:
        How often each status came; "closed" where the server said nothing, "left" where the client did not wait.
    """
    rng = random.Random(seed)
    found: collections.Counter[str] = collections.Counter()
    for _ in range(count):
        kind = rng.choice((*_KINDS, *_CUT_SHORT))
        found[send(server.port, kind(rng, server, image), leave=kind in _CUT_SHORT)] += 1
    return found


def send(port: int, content: bytes, *, leave: bool) -> str:
    """The status that a server answers with."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(content)
        if leave:
            return "left"
        answer = connection.recv(64)
        if answer.startswith(b"HTTP/1.1 "):
            return answer[9:12].decode()
    return "closed"


def request(server: Server, body: bytes = b"", *, line: str = "POST /api/predict HTTP/1.1", **headers: str) -> bytes:
    """A request as bytes; `_` in the names of headers stands for `-`, and an empty value leaves one out."""
    known = {"host": f"127.0.0.1:{server.port}", "authorization": f"Bearer {server.token}"}
    known |= {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = [line, *(f"{name}: {value}" for name, value in known.items() if value)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _form(name: str, content: bytes, *, field: str = "image", end: bytes = b"\r\n--b--\r\n") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode("latin-1") + content + end


def _bomb(side: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + name + content + zlib.crc32(name + content).to_bytes(4)

    header = side.to_bytes(4) * 2 + b"\x01\0\0\0\0"
    rows = zlib.compress(bytes((side // 8 + 1) * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _damaged(rng: random.Random, image: bytes) -> bytes:
    return image[: rng.randrange(1, len(image) // 2)]


_FORM = "multipart/form-data; boundary=b"
_NAMES = ("../../etc/passwd", "a\0.png", "C:\\x.png", "a" * 5000, "'; drop", '"', "\x80\xff")

_Kind = Callable[[random.Random, Server, bytes], bytes]
_KINDS: tuple[_Kind, ...] = (
    lambda rng, server, image: request(server, image, host="evil.example"),
    lambda rng, server, image: request(server, image, origin="http://evil.example"),
    lambda rng, server, image: request(server, image, authorization=f"Bearer {rng.randbytes(16).hex()}"),
    lambda rng, server, image: request(server, image, authorization=""),
    lambda rng, server, image: request(server),
    lambda rng, server, image: request(server, bytes(70 * 2**20)),
    lambda rng, server, image: request(server, image, content_length="-1"),
    lambda rng, server, image: request(server, b"zz\r\n", content_length="", transfer_encoding="chunked"),
    lambda rng, server, image: request(server, rng.randbytes(1000)),
    lambda rng, server, image: request(server, rng.randbytes(1000), content_type=_FORM),
    lambda rng, server, image: request(server, _form("a.png", b""), content_type=_FORM),
    lambda rng, server, image: request(server, _form("a.png", image, field="file"), content_type=_FORM),
    lambda rng, server, image: request(server, _form("a.png", image, end=b""), content_type=_FORM),
    lambda rng, server, image: request(server, _form(rng.choice(_NAMES), b"GIF89a"), content_type=_FORM),
    lambda rng, server, image: request(server, _bomb(30_000)),
    lambda rng, server, image: request(server, _damaged(rng, image)),
    lambda rng, server, image: request(server, b"\x93NUMPY" + rng.randbytes(300)),
    lambda rng, server, image: request(server, b"II*\0\x08\0\0\0" + rng.randbytes(300)),
    lambda rng, server, image: request(server, image, line=f"{rng.choice(['PUT', 'GET', 'X'])} /api/predict HTTP/1.1"),
    lambda rng, server, image: request(server, image, line="POST /api/predict?result=nothing HTTP/1.1"),
    lambda rng, server, image: request(server, line="GET /../../etc/passwd HTTP/1.1"),
    lambda rng, server, image: request(server, line="GET /%00%ff HTTP/1.1"),
    lambda rng, server, image: b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * rng.randrange(10_000, 20_000) + b"\r\n",
)

# What claims more than is sent: a server has to wait for the rest.
_CUT_SHORT: tuple[_Kind, ...] = (
    lambda rng, server, image: rng.randbytes(rng.randrange(1, 200)),
    lambda rng, server, image: request(server, image[:50], content_length="5000"),
    lambda rng, server, image: request(server, image, content_length=str(rng.randrange(10**9, 10**15))),
    lambda rng, server, image: request(server, image),
)


def tabulate(found: Load, malformed: collections.Counter[str], *, clients: int, well: bool) -> list[Table]:
    """What was measured, for people."""
    mib = [size / 2**20 for size in found.memory]
    thirds = [(len(mib) - 1) * i // 3 for i in range(4)]
    load_rows: tuple[tuple[Cell, ...], ...] = (
        ("clients", clients),
        ("seconds", f"{found.seconds:.0f}"),
        ("predictions", len(found.latencies)),
        ("predictions a second", f"{len(found.latencies) / found.seconds:.1f}"),
        ("median, ms", f"{1000 * found.percentile(50):.0f}"),
        ("99 of 100 within, ms", f"{1000 * found.percentile(99):.0f}"),
        ("errors", found.errors),
        ("memory at the start, after one, two and three thirds, MiB", ", ".join(f"{mib[i]:.0f}" for i in thirds)),
    )
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(malformed.items()))
    harm_rows: tuple[tuple[Cell, ...], ...] = (
        ("requests", sum(malformed.values())),
        ("answers", statuses),
        ("of them 5xx", sum(count for status, count in malformed.items() if status.startswith("5"))),
        ("the server afterwards", "gives the same bytes as before" if well else "gives other bytes, or none"),
    )
    return [
        Table("Predictions under load", ("", ""), load_rows),
        Table("Requests that make no sense", ("", ""), harm_rows),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run of images")
    parser.add_argument("--images", type=Path, required=True, help="a folder of images that it takes")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--malformed", type=int, default=1000)
    add_output_options(parser)
    options = parser.parse_args(arguments)
    images = [path.read_bytes() for path in sorted(options.images.iterdir()) if path.is_file()][:100]
    about = machine()
    with serve(options.run) as server, server.client() as client:
        before = client.post("/api/predict", content=images[0]).content
        found = load(server, images, clients=options.clients, seconds=options.seconds)
        malformed = nonsense(server, options.malformed, images[0])
        after = client.post("/api/predict", content=images[0])
        well = after.status_code == 200 and after.content == before
    raw = {
        "latencies": found.latencies,
        "statuses": dict(found.statuses),
        "memory": found.memory,
        "malformed": dict(malformed),
        "well": well,
    }
    shown = tabulate(found, malformed, clients=options.clients, well=well)
    present(options, question="Serving", machine=about, tables=shown, raw=raw)


if __name__ == "__main__":
    main()
