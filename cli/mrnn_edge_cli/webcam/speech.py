"""New captions to a program's standard input, one run of it a caption, one at a time, newest wins.

The program is the user's (`espeak-ng`, `spd-say -w -e`, `say`, `piper …`): none is imported or run
through a shell.
"""

import shlex
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import Final

from mrnn_edge.camera.events import CaptionEvent
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.output import say
from mrnn_edge_cli.webcam.sinks import Quiet, spoken

FAREWELL_S: Final = 10.0
"""For the sentence that is being said when captions end."""


class Speech(Quiet):
    """A thread that runs the program with the newest caption that was not said yet."""

    def __init__(self, command: str) -> None:
        """Raises OptionError where the program cannot be found."""
        self._command = split_command(command)
        self._changed = threading.Condition()
        self._next: str | None = None
        self._ended = False
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="mrnn-edge speech", daemon=True)
        self._thread.start()

    def event(self, event: CaptionEvent) -> None:
        """Say this next, in place of what has not been begun."""
        with self._changed:
            self._next = spoken(event.caption)
            self._changed.notify()

    def close(self) -> None:
        """Let it say what it has, within ten seconds."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join(FAREWELL_S)
        running = self._running
        if running is not None and running.poll() is None:
            running.terminate()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._ended)
                text, self._next = self._next, None
            if text is None:
                return
            self._say(text)

    def _say(self, text: str) -> None:
        try:
            self._running = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._running.communicate(f"{text}\n".encode())
            code = self._running.returncode
            reason = f"ended with {code}" if code else None
        except OSError as error:
            reason = str(error)
        if reason and not self.failed:
            self.failed = True
            say(f"--speak-cmd: {self._command[0]} {reason}; captions go on")


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
