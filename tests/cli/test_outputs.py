"""No output destroys anything: what exists, a source of the run, or another output."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import noise_picture
from fake_capture import colour
from PIL import Image

from mrnn_edge.camera.source import source_files
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.outputs import check_outputs, is_page, open_page
from mrnn_edge_cli.sealed import SealedWriter

OPTIONS = ("--srt", "--vtt", "--log", "--record")


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"film")
    return path


def spellings(path):
    """Other names of one file."""
    (path.parent / "folder").mkdir()
    soft, hard = path.with_name("soft"), path.with_name("hard")
    soft.symlink_to(path)
    os.link(path, hard)
    return path, soft, hard, path.parent / "folder" / ".." / path.name


def check(outputs, *, sources=(), force=False, **more):
    check_outputs(outputs, sources=sources, force=force, **more)


@pytest.mark.parametrize("force", [False, True])
def test_a_source_is_no_output_by_whatever_name(clip, force):
    for name in spellings(clip):
        with pytest.raises(OptionError, match="--log .* is read by this run"):
            check({"--log": name}, sources=[clip], force=force)


def test_what_exists_is_refused_by_whatever_name_unless_forced(tmp_path):
    existing = tmp_path / "captions.csv"
    existing.touch()
    for name in spellings(existing):
        with pytest.raises(OptionError, match="exists already; --force replaces it"):
            check({"--output": name})
        check({"--output": name}, force=True)


def test_what_is_resumed_is_not_refused_and_nothing_else_with_it(tmp_path):
    log, film = tmp_path / "log", tmp_path / "film"
    log.touch()
    check({"--log": log, "--record": film}, resumed=("--log",))
    film.touch()
    with pytest.raises(OptionError, match="--record .* exists already"):
        check({"--log": log, "--record": film}, resumed=("--log",))
    with pytest.raises(OptionError, match="--resume continues it, --force replaces it"):
        check({"--log": log}, resumable=("--log",))


def test_a_page_is_refreshed_until_somebody_edits_it(tmp_path):
    path = tmp_path / "page.html"
    with open_page(path) as page:
        page.write(b"<p>a dog</p>" * 1000)
        page.end(b"\n</html>\n")
    refreshed = {"--html": is_page}
    check({"--html": path}, refreshed=refreshed)
    whole = path.read_bytes()
    for place in (0, len(whole) // 2, whole.index(b"sha256") + 9, len(whole) - 1):
        path.write_bytes(whole[:place] + b"X" + whole[place + 1 :])
        with pytest.raises(OptionError, match="was edited since"):
            check({"--html": path}, refreshed=refreshed)
    for changed in (whole + b"more", whole[:-1], b"", b"<html>"):
        path.write_bytes(changed)
        with pytest.raises(OptionError, match="is not ours"):
            check({"--html": path}, refreshed=refreshed)
    with path.open("wb") as file:
        SealedWriter(file, "xmp").end(b"\n")
    assert not is_page(path)


def test_a_page_takes_no_name_that_something_got_meanwhile(tmp_path):
    path = tmp_path / "page.html"

    def write():
        with open_page(path) as page:
            page.end(b"\n")
            path.write_text("work of somebody")

    with pytest.raises(OptionError, match="has appeared meanwhile"):
        write()
    assert path.read_text() == "work of somebody"
    assert list(tmp_path.iterdir()) == [path]


def test_two_outputs_are_not_one_file_even_before_it_exists(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    for name in (tmp_path / "new", link):
        with pytest.raises(OptionError, match="--log .* is the file of --srt too"):
            check({"--srt": tmp_path / "new", "--log": name})


def test_a_picture_of_a_sequence_is_no_output(tmp_path):
    Image.fromarray(colour(1, 2, 3)).save(tmp_path / "0.png")
    with pytest.raises(OptionError, match="is read by this run"):
        check({"--log": tmp_path / "0.png"}, sources=source_files(str(tmp_path)))


def test_new_files_devices_and_pipes_are_fine(clip, tmp_path):
    check({option: tmp_path / option for option in OPTIONS} | {"--vtt": None}, sources=[clip])
    check({option: Path("/dev/null") for option in OPTIONS})
    os.mkfifo(tmp_path / "pipe")
    check({"--log": tmp_path / "pipe"})


def test_what_cannot_be_a_file_is_refused_with_its_option(tmp_path):
    for name, message in (
        (Path("-"), "--html -: this output cannot be standard output"),
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "no" / "page", "there is no folder"),
    ):
        with pytest.raises(OptionError, match=message):
            check({"--html": name})


def test_an_output_without_permission_is_refused(tmp_path, monkeypatch):
    refused = tmp_path / "refused"
    monkeypatch.setattr("os.access", lambda path, _: str(path) != str(refused))
    refused.touch()
    with pytest.raises(PermissionError, match="refused"):
        check({"--log": refused}, force=True)
    refused.unlink()
    refused.mkdir()
    with pytest.raises(PermissionError, match="new"):
        check({"--srt": tmp_path / "ok", "--log": refused / "new"})


@pytest.mark.parametrize("option", OPTIONS)
def test_webcam_leaves_its_source_whole(command, bundle, clip, option):
    done = command("webcam", clip, "--headless", "--model", bundle, option, clip, "--force")
    assert done.returncode == 2
    assert "is read by this run" in done.stderr
    assert clip.read_bytes() == b"film"


@pytest.mark.parametrize("name", ["nowhere/out.mp4", "folder.mp4"])
def test_an_output_that_cannot_be_written_is_refused_before_another_is_emptied(
    command, bundle, clip, tmp_path, name
):
    (tmp_path / "folder.mp4").mkdir()
    srt, log = tmp_path / "keep.srt", tmp_path / "log"
    srt.write_text("work of yesterday")
    done = command(
        "webcam", clip, "--headless", "--model", bundle, "--srt", srt, "--log", log, "--force",
        "--record", tmp_path / name,
    )  # fmt: skip
    assert done.returncode == 2
    assert str(tmp_path / name) in done.stderr
    assert "Traceback" not in done.stderr
    assert srt.read_text() == "work of yesterday"
    assert not log.exists()


EXISTING = {
    "caption --output": ("caption", "a.png", "--output"),
    "caption --html": ("caption", "a.png", "--html"),
    "bench --html": ("bench", "a.png", "--runs", "1", "--html"),
    "webcam --srt": ("webcam", "a.png", "--headless", "--srt"),
    "webcam --vtt": ("webcam", "a.png", "--headless", "--vtt"),
    "webcam --log": ("webcam", "a.png", "--headless", "--log"),
    "webcam --record": ("webcam", "a.png", "--headless", "--record"),
    "index --output": ("index", "folder", "--output"),
    "eval --captions": ("eval", "--data", "set", "--captions"),
}


@pytest.mark.parametrize("arguments", EXISTING.values(), ids=EXISTING)
def test_no_command_replaces_a_file_that_exists(command, bundle, tmp_path, arguments):
    (tmp_path / "folder").mkdir()
    for picture in (tmp_path / "a.png", tmp_path / "folder" / "b.png"):
        noise_picture(picture)
    (tmp_path / "set" / "images").mkdir(parents=True)
    theirs = tmp_path / "theirs.mp4"
    theirs.write_text("work of yesterday")
    done = command(*arguments, "theirs.mp4", "--model", bundle)
    assert done.returncode == 2, done.stderr
    assert "theirs.mp4" in done.stderr
    assert "Traceback" not in done.stderr
    assert theirs.read_text() == "work of yesterday"


REPLACING = {
    "caption --output": ("caption", "--from-file", "list.txt", "--output"),
    "caption --html": ("caption", "--from-file", "list.txt", "--html"),
    "bench --html": ("bench", "a.png", "--runs", "1", "--html"),
    "webcam --srt": ("webcam", "a.png", "--headless", "--srt"),
    "webcam --log": ("webcam", "a.png", "--headless", "--log"),
    "index --output": ("index", ".", "--output"),
}


@pytest.mark.parametrize("arguments", REPLACING.values(), ids=REPLACING)
def test_no_command_replaces_what_it_reads_even_with_force(command, bundle, tmp_path, arguments):
    noise_picture(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text("a.png\n")
    read = [tmp_path / "a.png", bundle / "vocab.json"]
    for place in [*read, *([tmp_path / "list.txt"] if "list.txt" in arguments else [])]:
        kept = place.read_bytes()
        done = command(*arguments, place, "--model", bundle, "--force")
        assert done.returncode == 2, done.stderr
        assert place.read_bytes() == kept


def test_a_picture_on_standard_input_is_no_output(bundle, picture):
    kept = picture.read_bytes()
    for option in ("--output", "--html"):
        command = [sys.executable, "-m", "mrnn_edge_cli", "caption", "-", "--model", str(bundle)]
        with picture.open("rb") as standard_input:
            done = subprocess.run(
                [*command, "--force", option, str(picture)], stdin=standard_input, check=False
            )
        assert done.returncode == 2
        assert picture.read_bytes() == kept


def test_a_page_of_before_is_refreshed_and_one_that_was_edited_stays(command, bundle, picture):
    page = picture.with_name("page.html")
    run = ("caption", picture, "--model", bundle, "--html", page)
    assert command(*run).returncode == 0
    assert command(*run).returncode == 0
    edited = page.read_text().replace("Captions", "My captions")
    page.write_text(edited)
    assert command(*run).returncode == 2
    assert page.read_text() == edited
    assert command(*run, "--force").returncode == 0
    assert "My captions" not in page.read_text()


def test_a_dash_is_standard_output_for_captions_and_no_file_called_so(command, bundle, picture):
    done = command("caption", picture, "--model", bundle, "-o", "-")
    assert done.returncode == 0
    assert done.stdout.count("\n") == 1
    assert not picture.with_name("-").exists()


def test_a_sidecar_replaces_nothing_of_its_own_run_even_with_force(command, bundle, picture):
    output = Path(f"{picture}.txt")
    done = command(
        "caption", picture, "--model", bundle, "--csv", "-o", output, "--sidecar", "--force"
    )
    assert done.returncode == 3
    assert "is read or written by this run" in done.stderr
    assert output.read_text().startswith("file,caption")


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_settings_beside_an_output_replace_no_file_of_somebody_else(command, bundle, picture, more):
    output, theirs = picture.with_name("out"), picture.with_name("out.run.json")
    theirs.write_text('{"distance": "10 km"}')
    done = command("caption", picture, "--model", bundle, "--ndjson", "-o", output, *more)
    assert (done.returncode, "out.run.json" in done.stderr) == (2, True)
    assert theirs.read_text() == '{"distance": "10 km"}'
    assert not output.exists()


def test_settings_beside_an_output_replace_nothing_of_their_run(command, bundle, picture):
    settings = picture.with_name("out.run.json")
    settings.write_bytes(picture.read_bytes())
    run = ("caption", settings, "--model", bundle, "-o", picture.with_name("out"), "--force")
    done = command(*run)
    assert (done.returncode, "is read by this run" in done.stderr) == (2, True)
    assert settings.read_bytes() == picture.read_bytes()
    settings.unlink()
    done = command(*run, "--html", settings)
    assert (done.returncode, "is the file of" in done.stderr) == (2, True)


def test_an_output_whose_settings_cannot_be_written_stays(command, bundle, picture):
    output = picture.with_name("out")
    output.write_text("of before")
    picture.with_name("out.run.json").mkdir()
    assert command("caption", picture, "--model", bundle, "-o", output, "--force").returncode == 2
    assert output.read_text() == "of before"


def test_a_pipe_cannot_be_resumed(command, bundle, picture):
    os.mkfifo(picture.with_name("pipe"))
    done = command(
        "caption", picture, "--model", bundle, "-o", picture.with_name("pipe"), "--resume"
    )
    assert (done.returncode, "no regular file" in done.stderr) == (2, True)


def test_an_address_is_one_line_that_says_that_nothing_is_downloaded(command, bundle):
    done = command("caption", "https://example.org/a.jpg", "--model", bundle, "--quiet")
    assert done.returncode == 3
    assert "nothing is downloaded" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_rating_of_another_program_is_spoken_of_once(command, bundle, picture):
    picture.with_suffix(".xmp").write_text("rated")
    done = command("caption", picture, "--model", bundle, "--xmp")
    assert done.returncode == 0
    assert done.stderr.count(f"another program's {picture.stem}.xmp") == 1
