"""Real streams on the loopback killed and restarted 20 times each, then left dead.

The servers are those of the tests: GStreamer's RTSP server and ffmpeg as HTTP MJPEG. Counts the
captions that came back and the seconds each took, from the server's start; the exit code and the
message when the budget is spent. A server stays up for a second with frames: what dies sooner is
tried again less and less often.
"""

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

HELD_S = 1.0

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from servers import RunningCommand, free_port, mjpeg_server, rtsp_server  # noqa: E402
from videos import BLUE, RED, write_video  # noqa: E402


def measure(url: str, start: Any, *, times: int) -> dict[str, Any]:
    """Kill and restart the server of a URL under one run of the command, and leave it dead."""
    waited: list[float] = []
    options = ("--headless", "--ndjson", "--interval", "0.1", "--reconnect-for", "15")
    server = start()
    with RunningCommand("webcam", url, *options) as command:
        with server:
            command.line(60)
            time.sleep(HELD_S)
        for number in range(times):
            until_said(command, "trying again", number + 1)
            command.forget_lines()
            begun = time.monotonic()
            with start():
                command.line(60)
                waited.append(time.monotonic() - begun)
                time.sleep(HELD_S)
        code, said = command.end(60)
    message = said.splitlines()[-1]
    return {
        "kills": times,
        "came_back": len(waited),
        "told_back": said.count("is back"),
        "median_s": float(np.median(waited)),
        "longest_s": max(waited),
        "exit_code": code,
        "message": message,
        "met": len(waited) == times and code == 6 and "however often it was opened anew" in message,
    }


def until_said(command: RunningCommand, words: str, times: int) -> None:
    """Wait until the command has said it so often."""
    deadline = time.monotonic() + 60
    while command.said.count(words) < times:
        if time.monotonic() > deadline:
            raise SystemExit(f"{words!r} was not said {times} times: {command.said}")
        time.sleep(0.05)


def main(times: Annotated[int, typer.Option("--times", min=1)] = 20) -> None:
    """Run both and end with 1 if one did not come back."""
    with TemporaryDirectory() as folder:
        clip = write_video(Path(folder) / "clip.mp4", [(RED, 20), (BLUE, 20)], rate=20.0)
        rtsp, http = free_port(), free_port()
        report = {
            "rtsp": measure(
                f"rtsp://127.0.0.1:{rtsp}/live", lambda: rtsp_server(rtsp, "red"), times=times
            ),
            "http": measure(
                f"http://127.0.0.1:{http}/live.mjpg", lambda: mjpeg_server(http, clip), times=times
            ),
        }
    typer.echo(json.dumps(report, indent=2))
    sys.exit(not all(each["met"] for each in report.values()))


if __name__ == "__main__":
    typer.run(main)
