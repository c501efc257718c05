"""Text files that grow: what a power cut or a full disk leaves of them."""

import os
from pathlib import Path

import pytest

from mrnn_edge_cli.webcam.sinks import TextFile


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "new\n"),
        ("whole\n", "whole\nnew\n"),
        ('{"half', '{"half\nnew\n'),
    ],
)
def test_what_is_appended_begins_on_a_line_of_its_own(tmp_path, before, after):
    path = tmp_path / "log"
    path.write_text(before)
    file = TextFile(path, append=True, ended="it ends here")
    file.write("new\n")
    file.close()
    assert path.read_text() == after


def test_a_file_that_begins_anew_keeps_nothing(tmp_path):
    path = tmp_path / "out.srt"
    path.write_text("of yesterday")
    TextFile(path, force=True, ended="it ends here").close()
    assert path.read_bytes() == b""


def test_every_entry_is_in_the_file_before_the_next(tmp_path):
    file = TextFile(tmp_path / "log", append=True, ended="it ends here")
    file.write("caf\udce9 é\n")
    assert (tmp_path / "log").read_bytes() == "caf\\udce9 é\n".encode()
    file.close()


@pytest.mark.parametrize("append", [False, True])
def test_a_full_disk_ends_it_with_one_notice(capsys, append):
    file = TextFile(Path("/dev/full"), append=append, ended="it ends here")
    for _ in range(3):
        file.write("a\n")
    file.close()
    assert file.failed
    said = capsys.readouterr().err
    assert said.count("/dev/full: it ends here") == 1
    assert len(said.splitlines()) == 1


def test_a_pipe_whose_reader_has_gone_ends_it_too(tmp_path, capsys):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = TextFile(path, append=True, ended="it ends here")
    os.close(reader)
    file.write("a\n")
    assert file.failed
    assert "it ends here" in capsys.readouterr().err
