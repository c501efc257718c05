"""Many files: one outcome each, in order, the same however the run was cut into pieces."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from conftest import noise_picture
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge import Captioner
from mrnn_edge.bulk import run as pipeline
from mrnn_edge.bulk.run import BATCH, CUDA_BATCH, batch_size, caption_files, read_first
from mrnn_edge.engine.device import CPU, Device, DeviceKind
from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.language.records import Caption, Outcome
from mrnn_edge.options import DecodeOptions


@pytest.fixture(scope="module")
def parallel(tmp_path_factory):
    """The tiny model, opened for three calls at a time."""
    folder = tiny.write(tmp_path_factory.mktemp("tiny") / "model")
    return Captioner.load(folder, device="cpu", threads=3, concurrency=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """More than three batches, broken ones among them."""
    folder = tmp_path_factory.mktemp("files")
    names = []
    for number in range(3 * BATCH + 2):
        path = folder / f"{number}.png"
        if number in (1, 6, 7):
            path.write_bytes(b"no picture")
        else:
            noise_picture(path, seed=number)
        names.append(str(path))
    return names


def timeless(outcome):
    """An outcome without its times, which are never the same twice."""
    if isinstance(outcome.result, Caption):
        return replace(outcome, result=replace(outcome.result, timing_ms={}))
    return replace(outcome, result=(type(outcome.result), str(outcome.result)))


def run(captioner, files, **wishes):
    return [timeless(each) for each in caption_files(captioner, files, DecodeOptions(), **wishes)]


def test_every_file_has_one_outcome_in_order_and_a_bad_one_touches_no_other(captioner, files):
    outcomes = list(caption_files(captioner, files, DecodeOptions()))
    assert [outcome.file for outcome in outcomes] == files
    for number, outcome in enumerate(outcomes):
        if number in (1, 6, 7):
            assert outcome.to_record()["error"]["type"] == "UnsupportedImageError"
            assert outcome.failure.startswith(files[number])
        else:
            assert outcome.to_record()["caption"] == captioner.caption(files[number]).text


def test_calls_at_a_time_and_threads_change_nothing(captioner, parallel, files):
    assert (parallel.graphs.concurrency, captioner.graphs.concurrency) == (3, 1)
    assert run(parallel, files) == run(captioner, files)


@given(done=st.sets(st.integers(0, 3 * BATCH + 1)))
def test_what_is_left_comes_out_as_it_would_have_to_the_last_bit(parallel, files, done):
    whole = run(parallel, files)
    expected = [outcome for place, outcome in enumerate(whole) if place not in done]
    assert run(parallel, files, done=done) == expected


def test_the_batches_are_those_of_the_whole_run_whatever_is_done(captioner, files, monkeypatch):
    batches = []
    caption_batch = Captioner.caption_batch

    def record(self, images, options=None):
        batches.append([image.pixels.tobytes() for image in images])
        return caption_batch(self, images, options)

    monkeypatch.setattr(Captioner, "caption_batch", record)
    run(captioner, files)
    whole = batches.copy()
    batches.clear()
    run(captioner, files, done={0, *range(BATCH, 2 * BATCH), 3 * BATCH})
    assert batches == [whole[0], *whole[2:]]


def test_a_batch_that_is_done_is_not_read(captioner, files, tmp_path):
    names = [str(tmp_path / f"gone{number}.png") for number in range(BATCH)] + files[:1]
    (outcome,) = run(captioner, names, done=set(range(BATCH)))
    assert outcome.file == files[0]


def test_a_stop_ends_between_batches_and_what_was_begun_comes(captioner, files):
    outcomes = []
    many = files * 20
    # Stopped as soon as the first outcome is there.
    for outcome in caption_files(captioner, many, DecodeOptions(), stop=lambda: bool(outcomes)):
        outcomes.append(timeless(outcome))
    assert 0 < len(outcomes) < len(many)
    assert len(outcomes) % BATCH == 0
    assert outcomes == run(captioner, many)[: len(outcomes)]


def test_no_more_than_a_few_batches_are_read_ahead(captioner, files, monkeypatch):
    reads = []
    read = pipeline.read_picture

    def count(image, spec, *, allow_truncated=False):
        reads.append(image)
        return read(image, spec, allow_truncated=allow_truncated)

    monkeypatch.setattr(pipeline, "read_picture", count)
    good = [file for number, file in enumerate(files) if number not in (1, 6, 7)]
    for taken, _ in enumerate(caption_files(captioner, good * 30, DecodeOptions()), start=1):
        assert len(reads) <= taken + 6 * BATCH
    assert len(reads) == 30 * len(good)


@pytest.mark.parametrize(("batch", "readers"), [(1, 1), (3, 5), (50, 2)])
def test_other_batches_make_calls_of_their_size_and_say_the_same(
    captioner, files, monkeypatch, batch, readers
):
    calls, threads = [], {}
    caption_batch, map_ahead = Captioner.caption_batch, pipeline.map_ahead

    def watched(function, items, **how):
        threads[how["name"]] = how["threads"]
        return map_ahead(function, items, **how)

    def count(self, pictures, options):
        calls.append(len(pictures))
        return caption_batch(self, pictures, options)

    usual = run(captioner, files)
    monkeypatch.setattr(Captioner, "caption_batch", count)
    monkeypatch.setattr(pipeline, "map_ahead", watched)
    monkeypatch.setattr(pipeline, "BATCH", batch)
    monkeypatch.setattr(pipeline, "_readers", lambda captioner: readers)
    found = run(captioner, files)
    assert [each.failure for each in found] == [each.failure for each in usual]
    assert [getattr(each.result, "text", None) for each in found] == [
        getattr(each.result, "text", None) for each in usual
    ]
    broken = (1, 6, 7)
    assert calls == [
        sum(place not in broken for place in range(start, min(start + batch, len(files))))
        for start in range(0, len(files), batch)
    ]
    assert threads == {"read": readers, "caption": 1}


@pytest.mark.parametrize(("threads", "readers"), [(1, 2), (2, 2), (3, 3), (30, 8)])
def test_there_are_as_many_readers_as_threads_but_from_two_to_eight(threads, readers):
    on_cpu = SimpleNamespace(device=CPU, graphs=SimpleNamespace(threads=threads))
    assert (batch_size(on_cpu), pipeline._readers(on_cpu)) == (BATCH, readers)


def test_on_cuda_batches_are_larger_and_all_cores_read(monkeypatch):
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 6)
    on_cuda = SimpleNamespace(
        device=Device(kind=DeviceKind.CUDA), graphs=SimpleNamespace(threads=1)
    )
    assert (batch_size(on_cuda), pipeline._readers(on_cuda)) == (CUDA_BATCH, 6)


def test_a_dash_is_the_bytes_of_standard_input(captioner, files):
    with open(files[0], "rb") as file:
        data = file.read()
    (outcome,) = run(captioner, ["-"], standard_input=data)
    assert outcome == replace(run(captioner, files[:1])[0], file="-")


def test_a_folder_that_could_not_be_read_keeps_its_place(captioner, files):
    lost = Outcome(file="folder", result=FileError("folder: cannot be read"))
    outcomes = list(caption_files(captioner, [files[0], lost, files[2]], DecodeOptions()))
    assert outcomes[1] is not None
    assert [outcome.file for outcome in outcomes] == [files[0], "folder", files[2]]
    assert outcomes[1].failure == "folder: cannot be read"


def test_a_cut_off_file_is_read_as_far_as_it_goes_where_that_is_allowed(captioner, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    from PIL import Image

    path = tmp_path / "half.jpg"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    (strict,) = caption_files(captioner, [str(path)], DecodeOptions())
    assert strict.failure is not None
    (lenient,) = caption_files(captioner, [str(path)], DecodeOptions(), allow_truncated=True)
    assert lenient.failure is None
    assert lenient.to_record()["notes"]


def test_wishes_that_cannot_be_are_refused(captioner, files):
    with pytest.raises(OptionError, match="vocabulary lacks"):
        list(caption_files(captioner, files, DecodeOptions(require=("zebra",))))


def test_the_one_picture_that_was_read_beside_the_opening_is_not_read_again(captioner, files):
    spec = captioner.config.image
    first = read_first(files[:1], spec)
    assert first is not None
    (outcome,) = caption_files(captioner, ["gone.png"], DecodeOptions(), first=first)
    assert outcome.file == "gone.png"
    assert outcome.result.text == captioner.caption(files[0]).text


def test_nothing_is_read_beside_the_opening_of_more_files_or_of_standard_input(captioner, files):
    spec = captioner.config.image
    assert read_first(files[:2], spec) is None
    assert read_first(["-"], spec) is None
    assert isinstance(read_first(["gone.png"], spec), FileError)
