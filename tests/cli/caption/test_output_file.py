"""The file of `--output`: gone on with only where nothing differs, cut to whole entries, locked."""

import json
import subprocess
import sys

import pytest

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.language.records import Outcome
from mrnn_edge_cli.caption.output_file import Existing, open_output
from mrnn_edge_cli.caption.output_formats import Csv, Json, Ndjson, Text

RUN = {"format": 1, "bundle_id": "0123", "decoding": {"beam": None, "forbid": ["dog"]}}
OUTCOMES = [
    Outcome(file=name, result=FileError(f"{name}: gone")) for name in ("a", 'é "\n', "c,d", "a")
]


def write(path, form, outcomes, *, existing=Existing.REFUSE, run=RUN):
    with open_output(path, existing=existing, form=form, run=run) as output:
        for outcome in outcomes:
            output.write(form.entry(outcome))
        return output


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out"


def test_a_new_output_holds_head_and_entries_and_its_settings_stand_beside_it(path):
    write(path, Csv(), OUTCOMES[:1])
    head, entry = path.read_text().splitlines()
    assert head == Csv().head()
    assert entry == Csv().entry(OUTCOMES[0])
    assert json.loads((path.parent / "out.run.json").read_text()) == RUN


class Names(Text):
    """Plain text, which has no line of its own for failures, with one."""

    def entry(self, outcome):
        return f"{self.key(outcome.file)}\t{outcome.result}".replace("\n", " ")


@pytest.mark.parametrize(
    "form",
    [Ndjson(), Csv(), Names(alone=False, explain=False, coloured=False)],
    ids=lambda form: form.description,
)
def test_cut_at_any_byte_it_goes_on_to_the_same_bytes(path, form):
    write(path, form, OUTCOMES)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with open_output(path, existing=Existing.RESUME, form=form, run=RUN) as output:
            left = output.written.copy()
            for outcome in OUTCOMES:
                if left[form.key(outcome.file)] > 0:
                    left[form.key(outcome.file)] -= 1
                else:
                    output.write(form.entry(outcome))
        assert path.read_bytes() == whole


def test_half_an_entry_is_gone_before_the_next_is_there(path):
    write(path, Ndjson(), OUTCOMES)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1][:-1])
    write(path, Ndjson(), [], existing=Existing.RESUME)
    assert path.read_bytes() == lines[0]


def test_without_an_output_resuming_begins_one(path):
    assert not write(path, Ndjson(), OUTCOMES, existing=Existing.RESUME).written
    assert len(path.read_text().splitlines()) == len(OUTCOMES)


def test_an_output_that_is_there_is_refused_or_replaced(path):
    write(path, Ndjson(), OUTCOMES)
    before = path.read_bytes()
    with pytest.raises(OptionError, match="--resume continues it, --force replaces it"):
        write(path, Ndjson(), OUTCOMES)
    assert path.read_bytes() == before
    write(path, Ndjson(), OUTCOMES[:1], existing=Existing.REPLACE)
    assert len(path.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({**RUN, "bundle_id": "4567"}, 'bundle_id "0123", now "4567"'),
        ({**RUN, "decoding": {"beam": 5, "forbid": ["dog"]}}, "beam null, now 5"),
        ({**RUN, "decoding": {"beam": None, "forbid": []}}, 'forbid ["dog"], now []'),
        ({**RUN, "new": True}, "new null, now true"),
    ],
)
def test_another_model_or_option_is_named_and_refused_and_nothing_is_touched(path, other, named):
    write(path, Ndjson(), OUTCOMES)
    path.write_bytes(path.read_bytes()[:-5])
    before = path.read_bytes(), (path.parent / "out.run.json").read_bytes()
    with pytest.raises(OptionError) as caught:
        write(path, Ndjson(), [], existing=Existing.RESUME, run=other)
    assert named in str(caught.value)
    assert (path.read_bytes(), (path.parent / "out.run.json").read_bytes()) == before


@pytest.mark.parametrize("settings", [None, b"", b"no json", b"[1]"])
def test_settings_that_are_lost_or_damaged_are_no_ground_to_go_on(path, settings):
    write(path, Ndjson(), OUTCOMES)
    beside = path.parent / "out.run.json"
    if settings is None:
        beside.unlink()
    else:
        beside.write_bytes(settings)
    before = path.read_bytes()
    with pytest.raises(OptionError):
        write(path, Ndjson(), [], existing=Existing.RESUME)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not json\n", b'{"file": 3}\n', b"\xff\xff\n"])
def test_foreign_lines_are_refused_and_stay(path, content):
    write(path, Ndjson(), OUTCOMES)
    path.write_bytes(content + path.read_bytes())
    before = path.read_bytes()
    with pytest.raises(OptionError, match="no ndjson entry of mrnn-edge"):
        write(path, Ndjson(), [], existing=Existing.RESUME)
    assert path.read_bytes() == before


def test_an_array_has_one_end_and_is_not_gone_on_with(path):
    with pytest.raises(OptionError, match="--ndjson, --csv or plain text"):
        write(path, Json(), [], existing=Existing.RESUME)
    assert not path.exists()


def test_a_second_run_is_refused_while_the_first_writes(path):
    other = f"""
from pathlib import Path
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.caption.output_formats import Ndjson
from mrnn_edge_cli.caption.output_file import Existing, open_output
try:
    with open_output(Path({str(path)!r}), existing=Existing.REPLACE, form=Ndjson(), run={{}}):
        print("opened")
except OptionError as error:
    print(error)
"""

    def second():
        return subprocess.run(
            [sys.executable, "-c", other], capture_output=True, text=True, timeout=60, check=True
        ).stdout

    with open_output(path, existing=Existing.REFUSE, form=Ndjson(), run=RUN) as output:
        output.write(Ndjson().entry(OUTCOMES[0]))
        assert "is being written by another run" in second()
    assert len(path.read_text().splitlines()) == 1
    assert second() == "opened\n"


def test_a_disk_that_fills_keeps_whole_entries_alone(path):
    code = f"""
import resource, signal
from pathlib import Path
from mrnn_edge_cli.caption.output_formats import Ndjson
from mrnn_edge_cli.caption.output_file import Existing, open_output
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open_output(Path({str(path)!r}), existing=Existing.REFUSE, form=Ndjson(), run={{}}) as output:
    resource.setrlimit(resource.RLIMIT_FSIZE, (250, 250))
    try:
        while True:
            output.write("x" * 99)
    except OSError as error:
        print(error.strerror)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "File too large\n"
    assert path.read_text() == ("x" * 99 + "\n") * 2


@pytest.mark.parametrize("name", [".", "no/folder/out"])
def test_a_place_where_no_file_can_be_is_refused(tmp_path, name):
    with pytest.raises((IsADirectoryError, FileNotFoundError)):
        write(tmp_path / name, Ndjson(), [])
