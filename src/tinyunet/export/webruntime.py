"""The files of onnxruntime-web that a page needs: from npm, from a folder, or from a public host when it is opened.

Every file's hash is written down here, so that it does not matter who brings it; the browser checks it once more.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tinyunet.errors import ConfigError, DataError

VERSION = "1.30.0"

FILES: Mapping[str, str] = MappingProxyType(
    {
        name: f"sha384-{digest}"
        for name, digest in (
            ("ort.wasm.bundle.min.mjs", "PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG"),
            ("ort-wasm-simd-threaded.wasm", "vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM"),
            ("ort.webgpu.bundle.min.mjs", "1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f"),
            (
                "ort-wasm-simd-threaded.asyncify.wasm",
                "EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
            ),
        )
    }
)
"""Names in the package's folder `dist`, with their hashes: two for WebAssembly alone, two for WebGPU."""

PACKAGE = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""The hash of the package of this version in the npm registry."""

CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
"""A public host of what is in the npm registry."""

FROM_CDN = "cdn"
"""What is said instead of a folder for files that the page loads from `CDN`."""

PATIENCE_S = 300


@dataclass(frozen=True)
class WebRuntime:
    """Where a page has onnxruntime-web from.

    Attributes:
        note: The same in words, for who exports.
        contents: Of the files by name; empty where the page loads them from `CDN`.
    """

    note: str
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def find_runtime(place: str | Path | None = None) -> WebRuntime:
    """The files of a folder, else those that npm fetches, else the public host's.

    Args:
        place: The folder of the unpacked npm package, or its `dist`; `cdn` for the public host; None: npm where it is
            installed and reaches its registry, and else the public host.

    Raises:
        ConfigError: There is no such folder, or its files are not those of `VERSION`.

    Example:
        >>> find_runtime("cdn").note
        'The page loads onnxruntime-web 1.30.0 from https://cdn.jsdelivr.net, and checks it.'
    """
    cdn = f"The page loads onnxruntime-web {VERSION} from {CDN.split('/npm/')[0]}, and checks it."
    if place == FROM_CDN:
        return WebRuntime(cdn)
    if place is not None:
        return WebRuntime(f"onnxruntime-web {VERSION} was taken from {place}.", _from_folder(Path(place)))
    npm = shutil.which("npm")
    if npm is None:
        return WebRuntime(f"npm is not installed. {cdn}")
    try:
        return WebRuntime(f"onnxruntime-web {VERSION} was taken from the npm registry.", _from_npm(npm))
    except DataError as error:
        return WebRuntime(f"{error} {cdn}")


def integrity(content: bytes, kind: str) -> str:
    """A hash as browsers and npm write it.

    Args:
        content: Of a file.
        kind: `sha256`, `sha384` or `sha512`.

    Example:
        >>> integrity(b"", "sha256")
        'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    return f"{kind}-{base64.b64encode(hashlib.new(kind, content).digest()).decode()}"


def _from_folder(folder: Path) -> dict[str, bytes]:
    """The files of an unpacked package."""
    dist = folder / "dist" if (folder / "dist").is_dir() else folder
    contents = {}
    for name, wanted in FILES.items():
        path = dist / name
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}. Name the folder of the npm package onnxruntime-web "
                f"{VERSION}."
            ) from None
        if integrity(content, "sha384") != wanted:
            raise ConfigError(f"{path} is not that of onnxruntime-web {VERSION}: name the folder of that version.")
        contents[name] = content
    return contents


def _from_npm(npm: str) -> dict[str, bytes]:
    """The files of the package in the registry; nothing of it is run, and nothing else of it is unpacked."""
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"onnxruntime-web@{VERSION}", "--ignore-scripts", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise DataError(f"npm does not fetch onnxruntime-web: it took more than {PATIENCE_S} s.") from None
        except OSError as error:
            raise DataError(f"npm cannot be started: {error.strerror}.") from None
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            raise DataError(f"npm does not fetch onnxruntime-web (exit status {done.returncode}).")
        return unpack(found[0].read_bytes(), wanted=PACKAGE)


def unpack(package: bytes, *, wanted: str) -> dict[str, bytes]:
    """The files that a page needs of the npm package.

    Args:
        package: The `.tgz`.
        wanted: Its hash.

    Raises:
        DataError: It is another package.
    """
    if integrity(package, "sha512") != wanted:
        raise DataError(f"What npm fetched is not onnxruntime-web {VERSION} as it was published.")
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
        for name in FILES:
            file = archive.extractfile(f"package/dist/{name}")
            assert file is not None  # the hash has said so
            contents[name] = file.read()
    return contents
