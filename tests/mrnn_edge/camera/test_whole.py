"""Files that are cut off, told from whole ones by the sizes in their containers."""

import shutil
import subprocess

import pytest
from fake_capture import until_error
from videos import BLUE, RED, write_video

from mrnn_edge.camera.source import open_source
from mrnn_edge.camera.whole import bytes_declared, bytes_missing
from mrnn_edge.errors import TruncatedVideoError

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "mp4v"}


def box(name: bytes, content: bytes, *, size: int | None = None) -> bytes:
    return (8 + len(content) if size is None else size).to_bytes(4, "big") + name + content


def riff(kind: bytes, content: bytes, *, size: int | None = None) -> bytes:
    length = 4 + len(content) if size is None else size
    return b"RIFF" + length.to_bytes(4, "little") + kind + content


FTYP = box(b"ftyp", b"isom" + bytes(12))
EBML = b"\x1a\x45\xdf\xa3\x83abc"
SEGMENT = b"\x18\x53\x80\x67"


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_is_whole_and_without_its_end_it_is_not(tmp_path, suffix):
    path = write_video(tmp_path / f"clip{suffix}", [(RED, 9), (BLUE, 9)], codec=CODECS[suffix])
    data = path.read_bytes()
    assert bytes_declared(path) == len(data)
    assert bytes_missing(path) == 0
    for lost in (1, len(data) // 3):
        path.write_bytes(data[:-lost])
        assert bytes_missing(path) == lost


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (FTYP + box(b"mdat", b"x" * 5), 24 + 13),
        (FTYP + box(b"mdat", b"x" * 5, size=100), 24 + 100),
        # 64 bits of size; and one that goes to the end of the file, wherever that is.
        (FTYP + box(b"mdat", (1 << 40).to_bytes(8, "big") + b"x", size=1), 24 + (1 << 40)),
        (FTYP + box(b"mdat", b"\xff" * 8, size=1), 24 + (1 << 64) - 1),
        (FTYP + box(b"mdat", (1 << 62).to_bytes(8, "big"), size=1), 24 + (1 << 62)),
        (FTYP + box(b"mdat", b"x" * 5, size=0), 24),
        # What others hang behind a film is not of it.
        (FTYP + box(b"mdat", b"x") + bytes(50), 24 + 9),
        (FTYP + box(b"mdat", b"x") + b"\xff\xff\xff\xffTAG what is no box", 24 + 9),
        (riff(b"AVI ", b"x" * 20), 32),
        (riff(b"AVI ", b"x" * 20, size=1000), 1008),
        # Of an odd size, with the byte that fills it up to an even one, and without.
        (riff(b"AVI ", b"x" * 21), 33),
        (riff(b"AVI ", b"x" * 21) + b"\0", 33),
        (riff(b"AVI ", b"x" * 21) + b"\0" + riff(b"AVIX", b"x" * 20), 34 + 32),
        # OpenDML: above a gigabyte there are more of them.
        (riff(b"AVI ", b"x" * 20) + riff(b"AVIX", b"x" * 20, size=500), 32 + 508),
        # A recorder that was never told to finish says 0.
        (riff(b"AVI ", b"x" * 20, size=0), None),
        (EBML + SEGMENT + b"\x8axxx", 8 + 4 + 1 + 10),
        (EBML + SEGMENT + b"\x41\x00xxx", 8 + 4 + 2 + 256),
        (EBML + SEGMENT + b"\x01\x00\x00\x00\x00\x00\x10\x00xxx", 8 + 4 + 8 + 4096),
        # Matroska that went into a pipe does not know its size.
        (EBML + SEGMENT + b"\xffxxx", None),
        (EBML + SEGMENT + b"\x01" + b"\xff" * 7, None),
        (EBML + SEGMENT, None),
        (EBML[:4] + b"\x01" + b"\x40" + bytes(6), 12 + (1 << 54)),
        (b"\x47" + b"ts" * 100, None),
        (b"", None),
    ],
)
def test_sizes_by_hand(tmp_path, data, declared):
    path = tmp_path / "clip"
    path.write_bytes(data)
    assert bytes_declared(path) == declared
    assert bytes_missing(path) == max((declared or 0) - len(data), 0)


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="needs ffmpeg: apt-get install ffmpeg")
@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("sound.mkv", "-i {clip} -f lavfi -i sine=d=9 -c:v copy -c:a pcm_s16le"),
        ("cut.mp4", "-ss 4.5 -i {clip} -c copy"),
        ("uneven.mkv", "-i {clip} -vf select=not(between(n\\,9\\,40)) -fps_mode vfr -c:v mpeg4"),
        ("late.mp4", "-i {clip} -c copy -movflags +faststart"),
    ],
)
def test_whole_videos_whose_headers_promise_other_numbers_of_frames(tmp_path, name, made):
    clip = write_video(tmp_path / "clip.mp4", [(RED, 30), (BLUE, 30)])
    path = tmp_path / name
    arguments = made.format(clip=clip).split()
    subprocess.run(
        ["ffmpeg", "-loglevel", "error", *arguments, str(path)], check=True, capture_output=True
    )
    assert len(list(open_source(path).frames(tick=1.0))) >= 10
    path.write_bytes(path.read_bytes()[:-100])
    if name.startswith(("sound", "uneven", "late")):  # the others are nothing without their end
        frames, error = until_error(open_source(path).frames(tick=1.0))
        assert frames
        assert isinstance(error, TruncatedVideoError)
        assert "100 bytes before the end that its header says" in str(error)
