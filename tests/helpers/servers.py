"""Real servers of streams on the loopback, and a command that runs while they come and go."""

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
"""The one that Debian's GStreamer bindings are for."""
RTSP_SERVER = Path(__file__).parent / "rtsp_server.py"


def missing_ffmpeg() -> str | None:
    return None if shutil.which("ffmpeg") else "needs ffmpeg: apt-get install ffmpeg"


def missing_rtsp() -> str | None:
    code = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        done = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, check=False)
    except OSError:
        return "needs Debian's Python at /usr/bin/python3"
    if done.returncode == 0:
        return None
    return "needs apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A process group, killed at the end of the with block."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            arguments,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> "Server":
        return self

    def wait_ready(self) -> "Server":
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def rtsp_server(port: int, colour: str, *credentials: str) -> Server:
    """rtsp://127.0.0.1:PORT/live in one colour, and up when it is returned."""
    return Server(SYSTEM_PYTHON, str(RTSP_SERVER), str(port), colour, *credentials).wait_ready()


def mjpeg_server(port: int, clip: Path) -> Server:
    """http://127.0.0.1:PORT/live.mjpg: the clip again and again, for one client at a time."""
    ffmpeg = (
        f"ffmpeg -loglevel quiet -re -stream_loop -1 -i '{clip}' -c:v mjpeg -f mpjpeg "
        f"-listen 1 http://127.0.0.1:{port}/live.mjpg"
    )
    return Server("sh", "-c", f"while :; do {ffmpeg}; done")


_COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
from mrnn_edge_cli import main
main()
"""


class RunningCommand:
    """`mrnn-edge` in a process of its own whose lines are read one by one, none waited for long."""

    def __init__(self, *arguments: object, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "NO_COLOR": "1", **(env or {})},
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._said: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._lines.put)),
            threading.Thread(target=self._read, args=(self._process.stderr, self._said.append)),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _read(stream, take) -> None:
        for line in stream:
            take(line.rstrip("\n"))
        stream.close()

    def __enter__(self) -> "RunningCommand":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(10)

    @property
    def pid(self) -> int:
        return self._process.pid

    def line(self, timeout: float = 30.0) -> str:
        """The next line of standard output."""
        try:
            return self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no line in {timeout} s; stderr: {self._said}") from None

    @property
    def said(self) -> str:
        """Standard error so far."""
        return "\n".join(self._said)

    def forget_lines(self) -> None:
        """Pass the lines by that have come so far."""
        while not self._lines.empty():
            self._lines.get()

    def end(self, timeout: float = 30.0) -> tuple[int, str]:
        """The exit code and standard error, when it has ended."""
        code = self._process.wait(timeout)
        for thread in self._threads:
            thread.join(10)
        return code, self.said

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)
