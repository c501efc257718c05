"""`caption --explain`, `--html` and `--min-confidence` as processes."""

import base64
import io
import json
import os
import re
import stat
import threading
from html.parser import HTMLParser

import pytest
import tiny
from conftest import noise_picture
from PIL import Image

from mrnn_edge.language.records import Word
from mrnn_edge_cli.explain import FULL_BITS, explained, has_colours, judged, strength


@pytest.fixture
def model(tmp_path):
    return tiny.write(tmp_path / "model")


class Seen(HTMLParser):
    """What a page holds: tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_explain_adds_the_confidence_and_each_words_bits(command, model, picture, captioner):
    done = command("caption", picture, "--model", model, "--quiet", "--explain")
    caption = captioner.caption(picture)
    text, sure, evidence, words = done.stdout.rstrip("\n").split("\t")
    assert text == caption.text
    assert sure.split()[-1] == f"{caption.confidence:.2f}"
    assert evidence == f"{caption.evidence:+.1f} bits"
    assert words == "  ".join(f"{word.word} {word.grounding:+.1f}" for word in caption.words)


def test_explain_and_json_are_not_both(command, model, picture):
    done = command("caption", picture, "--model", model, "--explain", "--json")
    assert (done.returncode, done.stdout) == (2, "")


def test_below_the_least_confidence_the_answer_is_not_sure(command, model, picture, captioner):
    wanted = captioner.caption(picture).confidence + 0.01
    done = command("caption", picture, "--model", model, "--quiet", "--min-confidence", wanted)
    assert (done.returncode, done.stdout) == (0, "not sure\n")
    done = command("caption", picture, "--model", model, "--min-confidence", wanted, "--json")
    (record,) = json.loads(done.stdout)
    assert record["caption"] is None
    assert "required" in record["reason"]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("confidence", "words"),
    [(0.91, "sure 0.91"), (0.8, "sure 0.80"), (0.79, "likely 0.79"), (0.5, "likely 0.50"),
     (0.49, "a guess 0.49"), (0.0, "a guess 0.00"), (None, "?")],
)  # fmt: skip
def test_a_confidence_is_said_as_people_do(confidence, words):
    assert judged(confidence) == words


def test_a_least_confidence_above_1_is_a_usage_error_that_says_so(command, model, picture):
    done = command("caption", picture, "--model", model, "--min-confidence", 7)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected a probability from 0 to 1" in done.stderr


def test_a_terminal_shows_words_by_strength_and_a_pipe_plain(monkeypatch):
    words = [
        Word(word=name, prob=0.5, grounding=bits)
        for name, bits in (("dog", 5.0), ("a", 0.0), ("cat", -2.0))
    ]
    assert explained(words, coloured=False) == "dog +5.0  a +0.0  cat -2.0"
    assert not has_colours()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert has_colours()
    painted = explained(words, coloured=True)
    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == "dog +5.0  a +0.0  cat -2.0"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours()


def test_strength_grows_with_the_bits_and_ends_at_one():
    strengths = [
        strength(Word(word="x", prob=0.1, grounding=bits))
        for bits in (-100.0, -1.0, 0.0, 1.0, FULL_BITS, 99.0)
    ]
    assert strengths == sorted(strengths)
    assert (strengths[0], strengths[2], strengths[-2], strengths[-1]) == (-1.0, 0.0, 1.0, 1.0)
    assert strength(Word(word="x", prob=0.1, grounding=None)) == 0.0


def test_the_page_holds_every_picture_its_caption_and_its_words(
    command, model, tmp_path, captioner
):
    good = noise_picture(tmp_path / 'a <b> & "c".png')
    bad = tmp_path / "bad.jpg"
    bad.write_text("nothing")
    done = command("caption", good, bad, "--model", model, "--html", "page.html")
    assert done.returncode == 3
    seen = Seen((tmp_path / "page.html").read_text())
    caption = captioner.caption(good)
    (image,) = [attrs for tag, attrs in seen.tags if tag == "img"]
    assert image["alt"] == caption.text
    data = base64.b64decode(image["src"].removeprefix("data:image/jpeg;base64,"))
    assert Image.open(io.BytesIO(data)).size == (40, 30)
    assert str(good) in seen.text
    assert "looks like text" in seen.text
    titles = [attrs["title"] for tag, attrs in seen.tags if tag == "span" and "title" in attrs]
    assert titles == [
        f"{word.grounding:+.1f} bits, probability {word.prob:.3f}" for word in caption.words
    ]
    # Nothing that a file is called can become a tag, and nothing is fetched.
    assert not any(tag in ("b", "script", "link") for tag, _ in seen.tags)


def test_an_interrupted_page_leaves_the_old_one_and_no_half(tmp_path):
    from mrnn_edge_cli.caption.gallery import gallery

    path = tmp_path / "page.html"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), gallery(path):
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_said_before_any_work(command, model, picture):
    done = command("caption", picture, "--model", model, "--html", "nowhere/page.html")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no folder" in done.stderr


def test_a_page_takes_no_devices_place_and_goes_through_a_link(command, model, picture, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_text()))
    reader.start()
    assert command("caption", picture, "--model", model, "--html", "fifo").returncode == 0
    reader.join()
    assert read[0].endswith("</html>\n")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert command("caption", picture, "--model", model, "--html", "/dev/full").returncode == 1
    (tmp_path / "real.html").write_text("old")
    (tmp_path / "real.html").chmod(0o600)
    (tmp_path / "link.html").symlink_to("real.html")
    page = ("--html", "link.html", "--force")
    assert command("caption", picture, "--model", model, *page).returncode == 0
    assert (tmp_path / "link.html").is_symlink()
    assert "<!doctype html>" in (tmp_path / "real.html").read_text()
    # The mode of the file before: a page that was private stays so.
    assert stat.S_IMODE((tmp_path / "real.html").stat().st_mode) == 0o600
