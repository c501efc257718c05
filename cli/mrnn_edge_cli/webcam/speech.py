"""Runs a program for each new caption, given on its standard input; one at a time, newest first.

The program is the user's (`espeak-ng`, `spd-say -w -e`, `say`, `piper …`), run without a shell.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Final

from mrnn_edge.camera.scene import CaptionEvent
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.explain import spoken
from mrnn_edge_cli.output import say
from mrnn_edge_cli.webcam.sinks import Sink

FAREWELL_S: Final = 5.0
"""For the last caption."""
LONGEST_S: Final = 30.0
"""One caption takes ten at most; a program that takes longer hangs."""
_FORCE: Final = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has none


class Speech(Sink):
    """A thread that runs the program with the newest caption that was not said yet."""

    def __init__(self, command: str) -> None:
        """Raises OptionError where the program cannot be found."""
        self._command = split_command(command)
        self._changed = threading.Condition()
        self._next: str | None = None
        self._ended = False
        self._silenced = False
        self._running: subprocess.Popen[bytes] | None = None
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="mrnn-edge speech", daemon=True)
        self._thread.start()

    @property
    def failed(self) -> bool:
        return self._failed

    def event(self, event: CaptionEvent) -> None:
        """Say this next, in place of a caption that has not been started."""
        with self._changed:
            self._next = spoken(event.caption)
            self._changed.notify()

    def close(self) -> None:
        """Let it finish, within five seconds, then end it."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(FAREWELL_S)
        with self._changed:  # nothing starts after this
            self._silenced = True
            if self._running is not None:
                _end(self._running)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._ended)
                text, self._next = self._next, None
            if text is None:
                return
            try:
                reason = self._say(text)
            except OSError as error:
                reason = str(error)
            if reason and not self._failed and not self._silenced:
                self._failed = True
                say(f"--speak-cmd: {self._command[0]} {reason}; captions continue")

    def _say(self, text: str) -> str | None:
        """Why it was not said. Raises OSError where the program cannot be run."""
        with self._changed:
            if self._silenced:
                return None
            self._running = running = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # A group of its own: what it starts is ended with it, and Ctrl-C is not for it.
                start_new_session=True,
            )
        try:
            running.communicate(f"{text}\n".encode(), LONGEST_S)
            reason = f"ended with {running.returncode}" if running.returncode else None
        except subprocess.TimeoutExpired:
            _end(running)
            reason = f"did not end within {LONGEST_S:g} s"
        with self._changed:
            self._running = None
        return reason


def _end(running: subprocess.Popen[bytes]) -> None:
    """End it and what it started: with SIGTERM, and a second later by force."""
    for number in (signal.SIGTERM, _FORCE):
        if running.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(running.pid, number)
            else:
                running.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(1.0)


def split_command(command: str) -> Sequence[str]:
    """The program and its arguments. Raises OptionError where the program cannot be found."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise OptionError(f"--speak-cmd {command!r}: {error}; check its quotes") from None
    if not words or shutil.which(words[0]) is None:
        raise OptionError(
            f"--speak-cmd {command!r}: no such program; name one that reads a sentence from its "
            "standard input"
        )
    return words
