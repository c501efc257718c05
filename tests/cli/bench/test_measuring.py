"""The rounds on a clock that is turned by hand, and a whole record of the tiny model."""

from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from benched import SETTING
from conftest import noise_picture
from fake_cuda import fake_runtime

from mrnn_edge import Captioner
from mrnn_edge.errors import ImageDecodeError, UnsupportedImageError
from mrnn_edge.options import DecodeOptions
from mrnn_edge_cli.bench import measuring
from mrnn_edge_cli.bench.comparing import differences
from mrnn_edge_cli.bench.hardware import Machine
from mrnn_edge_cli.bench.measuring import BenchOptions, measure, setting_of
from mrnn_edge_cli.bench.picture import Pictures
from mrnn_edge_cli.bench.record import record_from_dict


def options(runs, **wishes):
    """With a module that reads the file that it is given, in place of the command."""
    decoding = DecodeOptions(**wishes)
    return BenchOptions(runs=runs, decoding=decoding, command=("base64",), starts=1)


class Entry(NamedTuple):
    what: str
    picture: int | None
    beam: int | None


class FakeCaptioner:
    """Takes 15 s for a file, 10 for an array, 8 to encode and 2 a step, and keeps a diary."""

    def __init__(self):
        self.now, self.diary = 0.0, []
        self.graphs = SimpleNamespace(encoder=self.encode, step=self.step)
        self.space = SimpleNamespace(start=5, state=4)

    def read(self, data):
        return SimpleNamespace(pixels=np.full((2, 2, 3), data[0], np.uint8))

    def caption(self, image, *, beam):
        timing = {"decode": 1000.0, "encode": 8000.0, "generate": 4000.0, "total": 13000.0}
        if isinstance(image, bytes):
            self.spend("file", 15.0, picture=image[0], beam=beam)
        else:
            self.spend("array", 10.0, picture=image[0, 0, 0], beam=beam)
        return SimpleNamespace(words=("a",) * self.diary[-1].picture, timing_ms=timing)

    def encode(self, pixels):
        assert pixels.shape == (1, 2, 2, 3)
        self.spend("encode", 8.0, picture=pixels[0, 0, 0, 0])
        return np.ones((1, 6), np.float32)

    def step(self, tokens, states, images):
        assert (tokens.tolist(), states.shape, images.shape) == ([5, 5], (2, 4), (2, 6))
        self.spend("step", 2.0)
        return images, states

    def spend(self, what, seconds, *, picture=None, beam=None):
        self.now += seconds
        self.diary.append(Entry(what, None if picture is None else int(picture), beam))


@pytest.fixture
def fake(monkeypatch):
    captioner = FakeCaptioner()
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: captioner.now)
    return captioner


def rounds(captioner, *files):
    made = measuring._Rounds(
        captioner, Pictures(name="made up", files=files), DecodeOptions(beam=2)
    )
    captioner.diary.clear()
    return made


def test_each_thing_is_timed_by_the_wall_once_a_round(fake):
    times = rounds(fake, b"\3").run(6)
    assert times == {
        "decode": [1000.0] * 6,
        "encode": [8000.0] * 6,
        "generate": [4000.0] * 6,
        "total": [15000.0] * 6,  # of the wall: two seconds lie between the stages
        "encoder": [8000.0] * 6,
        "array": [10000.0] * 6,
        "step": [2000.0] * 6,
    }


def test_the_order_turns_so_that_each_comes_first_in_turn(fake):
    rounds(fake, b"\3").run(4)
    first = [each.what for each in fake.diary[::4]]
    assert sorted(first) == ["array", "encode", "file", "step"]


def test_pictures_come_in_turn_and_all_of_a_round_are_of_one(fake):
    made = rounds(fake, b"\3", b"\5")
    made.run(4)
    seen = [{each.picture for each in fake.diary[at : at + 4] if each.picture} for at in (0, 4, 8)]
    assert seen == [{5}, {3}, {5}]
    assert made.words == 4.0


def test_the_array_is_captioned_greedily_and_the_file_with_the_beam(fake):
    rounds(fake, b"\3").run(1)
    beams = {each.what: each.beam for each in fake.diary}
    assert beams == {"file": 2, "array": 1, "encode": None, "step": None}


def test_a_record_of_the_tiny_model_is_whole(captioner, tmp_path):
    files = tuple(
        noise_picture(tmp_path / f"{seed}.jpg", seed=seed).read_bytes() for seed in range(3)
    )
    pictures = Pictures(name="noise", files=files)
    setting = setting_of(captioner, pictures, 2, Machine.here())
    record = measure(captioner, pictures, options(3, beam=2), setting=setting, affinity=(0,))
    assert record.setting == setting
    assert (setting.model, setting.device, setting.precision) == ("tiny-test", "cpu", "float32")
    assert (setting.threads, setting.beam, setting.pictures) == (1, 2, "noise")
    words = [len(captioner.caption(data, beam=2).words) for data in files]
    assert record.words == pytest.approx(sum(words) / 3)
    assert record.runs == 3
    assert record_from_dict(record.to_dict()) == record
    # Wall time of the whole call: no stage of it can be longer.
    for stage in ("decode", "encode", "generate"):
        assert record.stages_ms[stage].p50 <= record.stages_ms["total"].p50


def test_the_device_is_recorded_and_the_bulk_run_is_on_the_same(bundle, picture, monkeypatch):
    fake_runtime(monkeypatch)
    captioner = Captioner.load(bundle, device="cuda:1", threads=2)
    bulk = []
    real = measuring.caption_files
    monkeypatch.setattr(
        measuring,
        "caption_files",
        lambda opened, *rest: bulk.append(opened.graphs) or real(opened, *rest),
    )
    pictures = Pictures(name="noise", files=(picture.read_bytes(),))
    setting = setting_of(captioner, pictures, 1, Machine.here())
    record = measure(captioner, pictures, options(1, beam=1), setting=setting, affinity=None)
    assert record.setting.device == "cuda:1"
    assert {str(graphs.device) for graphs in bulk} == {"cuda:1"}
    other = replace(record.setting, device="cuda:0")
    assert differences(other, record.setting) == ["device was cuda:0, is cuda:1"]


def test_a_damaged_picture_is_told_before_anything_is_measured(captioner, picture, monkeypatch):
    monkeypatch.setattr(measuring, "cold_start_ms", lambda *_, **__: pytest.fail("it was begun"))
    whole = picture.read_bytes()
    for data, error in (
        (b"no picture", UnsupportedImageError),
        (whole[:300], ImageDecodeError),
    ):
        pictures = Pictures(name="damaged", files=(whole, data))
        with pytest.raises(error):
            measure(captioner, pictures, options(1), setting=SETTING, affinity=None)
