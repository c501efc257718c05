"""The program that says captions: one at a time, newest wins, and none is left behind."""

import os
import time
from types import SimpleNamespace

import pytest

from mrnn_edge_cli.webcam import speech as room
from mrnn_edge_cli.webcam.speech import Speech


def event(text: str) -> SimpleNamespace:
    return SimpleNamespace(caption=SimpleNamespace(text=text))


@pytest.fixture
def program(tmp_path):
    """Makes a shell script of these lines; LOG is a file that it may write."""

    def make(*lines: str) -> str:
        path = tmp_path / "speak"
        path.write_text("\n".join(["#!/bin/sh", f"LOG={tmp_path / 'log'}", *lines]) + "\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def log(tmp_path):
    """The words of the log, once there are so many."""

    def read(count: int) -> list[str]:
        path, until = tmp_path / "log", time.monotonic() + 10
        while time.monotonic() < until:
            words = path.read_text().split() if path.exists() else []
            if len(words) >= count:
                return words
            time.sleep(0.01)
        raise AssertionError(f"fewer than {count} words in ten seconds")

    return read


def runs(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_each_is_said_one_at_a_time_and_of_those_that_wait_the_newest(program, log, tmp_path):
    may_end = tmp_path / "may end"
    waits = f"while [ ! -e '{may_end}' ]; do sleep 0.01; done"
    speech = Speech(program("echo begin >> $LOG", waits, "cat >> $LOG"))
    speech.event(event("dog"))
    assert log(1) == ["begin"]
    speech.event(event("cat"))
    speech.event(event("cow"))
    may_end.touch()
    speech.close()
    assert log(4) == ["begin", "dog", "begin", "cow"]


def test_a_program_that_hangs_is_ended_with_what_it_started(program, log, monkeypatch):
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)
    speech = Speech(program("sleep 1000 &", "echo $$ $! >> $LOG", "wait"))
    speech.event(event("a dog"))
    pids = log(2)
    assert all(map(runs, pids))
    begun = time.monotonic()
    speech.close()
    assert time.monotonic() - begun < 5.0
    time.sleep(0.1)
    assert not any(map(runs, pids))


def test_one_that_does_not_obey_is_ended_all_the_same(program, log, monkeypatch):
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)
    speech = Speech(program("trap '' TERM", "echo $$ >> $LOG", "while :; do sleep 0.1; done"))
    speech.event(event("a dog"))
    (pid,) = log(1)
    speech.close()
    assert not runs(pid)


def test_nothing_is_begun_once_it_was_closed(program, log, monkeypatch):
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)
    speech = Speech(program("echo begin >> $LOG", "sleep 1000"))
    speech.event(event("a dog"))
    log(1)
    speech.event(event("a cat"))
    speech.close()
    time.sleep(0.5)
    assert log(1) == ["begin"]


def test_to_be_ended_at_the_end_is_no_failure(program, log, monkeypatch, capsys):
    monkeypatch.setattr(room, "FAREWELL_S", 0.1)
    speech = Speech(program("echo begin >> $LOG", "sleep 1000"))
    speech.event(event("a dog"))
    log(1)
    speech.close()
    speech._thread.join(5)
    assert not speech.failed
    assert capsys.readouterr().err == ""


def test_one_that_hangs_meanwhile_is_told_once_and_the_next_is_begun(
    program, log, monkeypatch, capsys
):
    monkeypatch.setattr(room, "LONGEST_S", 0.1)
    speech = Speech(program("echo begin >> $LOG", "sleep 1000"))
    for number in range(3):
        speech.event(event("a dog"))
        log(number + 1)
    speech.close()
    assert speech.failed
    assert capsys.readouterr().err.count("did not end within 0.1 s") == 1


def test_one_that_reads_nothing_and_one_that_dies_hold_nothing_up(program, log, capsys):
    speech = Speech(program("exec <&-", "echo begin >> $LOG", "kill -9 $$"))
    for number in range(2):
        speech.event(event("a dog " * 50_000))  # more than a pipe holds
        log(number + 1)
    speech.close()
    assert speech.failed
    assert capsys.readouterr().err.count("ended with -9; captions continue") == 1


def test_ctrl_c_at_the_terminal_is_not_for_it(program, log):
    speech = Speech(program("cut -d' ' -f5 /proc/$$/stat >> $LOG"))
    speech.event(event("a dog"))
    (group,) = log(1)
    speech.close()
    assert int(group) != os.getpgid(0)
