"""Nothing leaves the machine: no command opens a socket, none leaves a file in the home folder.

Each runs under `strace`, which sees every socket of a process, its threads and its children. ONNX
Runtime's telemetry looks up its host some ten seconds after the import, so what serves people for
long is held for fifteen.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import dataset
import pytest
from conftest import noise_picture

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="strace traces Linux alone"
)
HELD_S = 15.0
COMMAND = (sys.executable, "-m", "mrnn_edge_cli")
CAPTIONER = """
import sys, time
from mrnn_edge import Captioner
captioner = Captioner.load(sys.argv[1])
captioner.caption(sys.argv[2])
time.sleep(float(sys.argv[3]))
"""
RECIPE = """
encoder = "efficientnet-lite0"
image_size = 64
minimum_count = 1
embedding = 8
state = 16
multimodal = 24
cell = "gru"
tied = true
drop_image = 0.0
drop_word = 0.0
drop_multimodal = 0.0
label_smoothing = 0.0
l2 = 0.0
learning_rate = 1e-2
warmup = 0.1
batch = 10
clip = 5
epochs = 1
average = 0.5
beam = 5
length_penalty = 1
"""
_SOCKET = re.compile(r"\bsocket\((AF_\w+)")
_ADDRESS = re.compile(r"\b(?:connect|bind|send\w+)\(.*?sa_family=(AF_\w+)")


@dataclass(frozen=True)
class Traced:
    """What a traced process did."""

    code: int
    errors: str
    sockets: tuple[str, ...]
    """The address families of its sockets; AF_UNIX, which ends on this machine, is left out."""
    addresses: tuple[str, ...]
    """The address families of what it connected to, bound or sent to, likewise."""
    home: tuple[str, ...]
    """The files below its home folder."""


class Trace:
    """A process under strace, in a home folder of its own, without our variable from outside."""

    def __init__(self, folder: Path, *command: object, **variables: str) -> None:
        folder.mkdir(parents=True)
        self._folder, self._home = folder, folder / "home"
        self._home.mkdir()
        kept = {
            name: value
            for name, value in os.environ.items()
            if name != "ORT_DISABLE_TELEMETRY" and not name.startswith("XDG_")
        }
        strace = shutil.which("strace")
        assert strace, "this test needs strace: apt-get install strace"
        self._process = subprocess.Popen(
            [strace, "-f", "-e", "trace=network", "-o", folder / "trace", *map(str, command)],
            cwd=folder,
            env={**kept, "HOME": str(self._home), "PYTHONDONTWRITEBYTECODE": "1", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def end(self) -> Traced:
        """What it did, once it has ended."""
        _, errors = self._process.communicate(timeout=150)
        trace = (self._folder / "trace").read_text(errors="replace")
        assert re.search(r"\+\+\+ exited with \d+ \+\+\+", trace), f"not traced: {errors.decode()}"
        files = (str(path.relative_to(self._home)) for path in self._home.rglob("*"))
        return Traced(
            code=self._process.returncode,
            errors=errors.decode(errors="replace"),
            sockets=tuple(each for each in _SOCKET.findall(trace) if each != "AF_UNIX"),
            addresses=tuple(each for each in _ADDRESS.findall(trace) if each != "AF_UNIX"),
            home=tuple(files),
        )


@pytest.fixture
def album(tmp_path):
    """Pictures whose records, with a hundred sentences each, fill a pipe several times over."""
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(48):
        noise_picture(folder / f"{number}.jpg", seed=number)
    return folder


def test_a_socket_that_is_opened_is_seen(tmp_path):
    opening = "import socket; socket.socket(socket.AF_INET6)"
    sending = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'.', ('127.0.0.1', 9))"
    opened = Trace(tmp_path / "opened", sys.executable, "-c", opening).end()
    assert (opened.sockets, opened.addresses) == (("AF_INET6",), ())
    sent = Trace(tmp_path / "sent", sys.executable, "-c", sending).end()
    assert (sent.sockets, sent.addresses) == (("AF_INET",), ("AF_INET",))


def test_telemetry_is_off_unless_the_user_has_set_the_variable(tmp_path):
    shown = (
        "import os; from mrnn_edge.engine import runtime; runtime.import_runtime();"
        "print(os.environ[runtime.TELEMETRY])"
    )
    for chosen, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), **chosen}
        done = subprocess.run(
            [sys.executable, "-c", shown],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


def test_commands_and_captioners_that_live_long_open_no_socket_and_leave_no_file(
    tmp_path, bundle, album
):
    picture = album / "0.jpg"
    held = [
        # Nobody reads what it writes: it waits, its model open, until it is read.
        Trace(
            tmp_path / "caption",
            *(*COMMAND, "caption", "-r", album, "--ndjson", "--nbest", 100),
            *("--quiet", "--model", bundle),
        ),
        Trace(tmp_path / "library", sys.executable, "-c", CAPTIONER, bundle, picture, HELD_S),
    ]
    time.sleep(HELD_S)
    assert held[0].lives(), "the records fit the pipe, so that nothing was held"
    for each in held:
        traced = each.end()
        assert (traced.code, traced.sockets, traced.home) == (0, (), ()), traced.errors
        assert not traced.errors


def test_no_command_opens_a_socket_or_leaves_a_file_at_home(tmp_path, bundle, album):
    runs = {
        "index": ("index", album, "-o", tmp_path / "album.idx", "--model", bundle),
        "score": ("score", album / "0.jpg", "a dog", "--model", bundle),
        "verify": ("verify", "--model", "tiny"),
        "info": ("info", "--model", "tiny"),
        "doctor": ("doctor", "--model", "tiny"),
        "bench": ("bench", album / "0.jpg", "--runs", 2, "--model", bundle),
    }
    for name, arguments in runs.items():
        traced = Trace(tmp_path / name, *COMMAND, *arguments).end()
        assert (traced.sockets, traced.home) == ((), ()), (name, traced.errors)
        assert traced.code == 0, (name, traced.errors)


def test_training_and_what_makes_a_model_of_it_open_no_socket(tmp_path):
    data = dataset.write(tmp_path / "set", train=12, dev=6, test=2, side=64)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    run, model = tmp_path / "small", tmp_path / "model"
    made = ("--data", data, "--out", run, "--recipe", tmp_path / "recipe.toml", "--tensorboard")
    runs = {
        "train": ("train", *made, "--cache", tmp_path / "vectors"),
        "export": ("export", run, "-o", model, "--data", data),
        "quantize": ("quantize", model, "--data", data, "--max-drop", 10),
        "eval": ("eval", "--data", data, "--model", model),
    }
    for name, arguments in runs.items():
        traced = Trace(tmp_path / f"trace-{name}", *COMMAND, *arguments).end()
        assert (traced.addresses, traced.home) == ((), ()), (name, traced.errors)
        if name != "quantize":
            # There onnx names a file by uuid1, which asks the network card for its number.
            assert traced.sockets == (), (name, traced.errors)
        assert traced.code == 0, (name, traced.errors)
