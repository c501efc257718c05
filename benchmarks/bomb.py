"""Pictures whose headers claim 50,000 x 50,000 pixels: how soon and at what cost they are refused.

    python benchmarks/bomb.py

Each is a small sound picture with another size written into its header, where the format can say
so much. A process of its own reads the sound one first, so that what is measured is the refusal:
its wall time, and by how much the process's peak of resident memory grew. Also 13,000 x 13,000,
which is over the limit and under Pillow's own. Exit code 1 beyond 50 ms or 20 MB.
"""

import io
import multiprocessing
import re
import resource
import struct
import sys
import time
import warnings
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from mrnn_edge.config import ImageSpec
from mrnn_edge.errors import ImageTooLargeError, InputError
from mrnn_edge.image import read_picture

SIDES = (50_000, 13_000)
MOST_MS, MOST_MB = 50.0, 20.0
SPEC = ImageSpec(height=260, width=260)


def encoded(kind: str, **options: object) -> bytes:
    """A sound picture, 64 x 48."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(data: bytes, side: int) -> bytes:
    at = re.search(rb"\xff[\xc0\xc2]", data)
    return patched(data, at.start() + 5, struct.pack(">HH", side, side))  # type: ignore[union-attr]


def png(data: bytes, side: int) -> bytes:
    header = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
    return patched(data, 12, header + struct.pack(">I", zlib.crc32(header)))


def gif(data: bytes, side: int) -> bytes:
    data = patched(data, 6, struct.pack("<HH", side, side))
    at = data.index(b",", 13 + 3 * 256)
    return patched(data, at + 5, struct.pack("<HH", side, side))


def bmp(data: bytes, side: int) -> bytes:
    return patched(data, 18, struct.pack("<ii", side, side))


def tiff(data: bytes, side: int) -> bytes:
    for tag in (256, 257):  # width and height, as 16 or 32 bits
        at = re.search(struct.pack("<H", tag) + rb"[\x03\x04]\0\x01\0\0\0", data).start()  # type: ignore[union-attr]
        data = patched(data, at, struct.pack("<HHII", tag, 4, 1, side))
    return data


def webp(data: bytes, side: int) -> bytes:
    """An animation, whose canvas may be larger than its frames."""
    return patched(data, data.index(b"VP8X") + 12, struct.pack("<I", side - 1)[:3] * 2)


def boxes(data: bytes, side: int) -> bytes:
    """AVIF and HEIC: the property `ispe`, and `clap`, which crops, taken for what it is not."""
    for found in re.finditer(b"ispe", data):
        data = patched(data, found.start() + 8, struct.pack(">II", side, side))
    return data.replace(b"clap", b"free")


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def measure(sound: bytes, bomb: bytes) -> tuple[str, float, float]:
    """What came of the bomb, in how many milliseconds, at how many MB of growth."""
    warnings.simplefilter("ignore")  # as the command does; Pillow warns beside our refusal
    read_picture(sound, SPEC)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    try:
        read_picture(bomb, SPEC)
        outcome = "READ"
    except ImageTooLargeError:
        outcome = "refused"
    except InputError as error:
        outcome = f"refused as {type(error).__name__}"
    spent = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return outcome, spent * 1000.0, grown / 1024.0


def main() -> int:
    """Print a line a format; the exit code tells whether all are within the limits."""
    kinds: dict[str, tuple[bytes, Callable[[bytes, int], bytes]]] = {
        "JPEG": (encoded("JPEG"), jpeg),
        "progressive JPEG": (encoded("JPEG", progressive=True), jpeg),
        "PNG": (encoded("PNG"), png),
        "GIF": (encoded("GIF"), gif),
        "BMP": (encoded("BMP"), bmp),
        "TIFF": (encoded("TIFF"), tiff),
        "TIFF, deflate": (encoded("TIFF", compression="tiff_adobe_deflate"), tiff),
        "WebP": (encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (64, 48))]), webp),
        "AVIF": (encoded("AVIF"), boxes),
    }
    if len(sys.argv) == 2:  # Pillow writes no HEIC
        with open(sys.argv[1], "rb") as file:
            kinds["HEIC"] = (file.read(), boxes)
    kept = True
    context = multiprocessing.get_context("spawn")
    for kind, (sound, claim) in kinds.items():
        for side in SIDES:
            with context.Pool(1) as pool:
                outcome, ms, mb = pool.apply(measure, (sound, claim(sound, side)))
            kept = kept and outcome != "READ" and ms < MOST_MS and mb < MOST_MB
            sys.stdout.write(f"{kind:17} {side:6} {ms:7.2f} ms {mb:7.2f} MB  {outcome}\n")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
