"""Files that are small and would become large: what uploads are refused for."""

import struct
import zlib


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_bomb(side: int) -> bytes:
    """A picture of side² grey pixels, all of them there: zeros compress a thousandfold, twice that in 1 bit."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 7) // 8 + 1) * side)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff_bomb(compressed: bytes, compression: int, *, pages: int = 1, tile: int = 0) -> bytes:
    """A TIFF of one grey pixel whose only strip, or tile of so many pixels along a side, is what is given."""
    start = 8 + len(compressed)
    size = 2 + 12 * (10 if tile else 9) + 4
    out = b"II" + struct.pack("<HI", 42, start) + compressed
    for page in range(pages):
        tags = {256: 1, 257: 1, 258: 8, 259: compression, 262: 1}
        tags |= {277: 1, 322: tile, 323: tile, 324: 8, 325: len(compressed)} if tile else _strip(len(compressed))
        out += struct.pack("<H", len(tags))
        out += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
        out += struct.pack("<I", start + (page + 1) * size if page + 1 < pages else 0)
    return out


def _strip(size: int) -> dict[int, int]:
    return {273: 8, 277: 1, 278: 1, 279: size}
