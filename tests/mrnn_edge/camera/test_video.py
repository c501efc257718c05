"""Videos: every frame, or those that were selected, in order, with its time."""

import itertools

import pytest
from fake_capture import FakeCapture, colour, until_error
from hypothesis import given
from hypothesis import strategies as st

from mrnn_edge.camera.frames import Selection
from mrnn_edge.camera.video import FrameTimes, Video
from mrnn_edge.errors import CameraUnavailableError, OptionError, TruncatedVideoError

PICTURE = colour(10, 20, 30)


def video(capture: FakeCapture, **selection) -> Video:
    return Video("clip", lambda: capture, selection=Selection(**selection))


def numbers(source) -> list[int]:
    return [frame.number for frame in source.frames(tick=1.0)]


def test_a_file_gives_every_frame_at_its_time():
    frames = list(video(FakeCapture([PICTURE] * 5, rate=10.0)).frames(tick=1.0))
    assert [frame.number for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert all(frame.dropped == 0 for frame in frames)


def test_every_third_frame_is_decoded_and_no_other():
    capture = FakeCapture([PICTURE] * 8, rate=10.0)
    assert numbers(video(capture, every=3)) == [0, 3, 6]
    assert capture.retrieved == [0, 3, 6]


@pytest.mark.parametrize(
    ("rate", "fps", "expected"),
    [
        (30.0, 10.0, [0, 3, 6, 9]),
        (30.0, 30.0, list(range(12))),
        (30.0, 100.0, list(range(12))),
        (30.0, 7.5, [0, 4, 8]),
    ],
)
def test_so_many_frames_a_second_of_the_files_time(rate, fps, expected):
    capture = FakeCapture([PICTURE] * 12, rate=rate)
    assert numbers(video(capture, fps=fps)) == expected


@pytest.mark.parametrize("rate", [23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0, 144.0])
@pytest.mark.parametrize("fps", [0.3, 1.0, 7.0, 10.0, 12.5, 20.0, 24.0, 25.0])
@pytest.mark.parametrize("digits", [3, 9], ids=["milliseconds", "exact"])
def test_a_rate_that_does_not_divide_the_files_is_kept_over_time(rate, fps, digits):
    times = [round(number / rate, digits) for number in range(int(rate * 20))]
    frames = list(video(FakeCapture([PICTURE] * len(times), times=times), fps=fps).frames(tick=1.0))
    assert abs(len(frames) - 20 * min(fps, rate)) <= 1
    # And evenly: of each stretch of 1 / fps seconds the first frame.
    for frame in frames[1:]:
        late_s = frame.time_s % (1.0 / fps)
        assert min(late_s, 1.0 / fps - late_s) <= 1.0 / rate + 0.001


def test_a_time_that_goes_back_does_not_and_those_after_it_count_again():
    capture = FakeCapture([PICTURE] * 4, rate=10.0, times=[0.0, 0.5, 0.2, 0.9])
    times = [frame.time_s for frame in video(capture).frames(tick=1.0)]
    assert times == pytest.approx([0.0, 0.5, 0.6, 0.9])


def test_one_time_far_ahead_does_not_thin_out_what_comes_after_it():
    positions = [number / 10.0 for number in range(30)]
    positions[7] = 86_400.0 * 365
    capture = FakeCapture([PICTURE] * 30, rate=10.0, times=positions)
    assert numbers(video(capture, fps=5.0)) == list(range(0, 30, 2))


def test_a_rate_that_nobody_knows_is_taken_as_25():
    frames = list(video(FakeCapture([PICTURE] * 3)).frames(tick=1.0))
    assert frames[2].time_s == pytest.approx(0.08)


def test_a_video_at_an_address_that_ends_before_its_header_says_so_after_its_last_frame():
    source = Video("clip", lambda: FakeCapture([PICTURE] * 15, length=30), downloaded=True)
    frames, error = until_error(source.frames(tick=1.0))
    assert len(frames) == 15
    assert isinstance(error, TruncatedVideoError)
    assert "ends after 15 frames, its header says 30" in str(error)


@pytest.mark.parametrize("length", [10, 11, 12, None, 5])
def test_a_header_may_be_a_little_off(length):
    source = Video("clip", lambda: FakeCapture([PICTURE] * 10, length=length), downloaded=True)
    assert len(numbers(source)) == 10


def test_the_header_of_a_file_proves_nothing():
    assert len(numbers(video(FakeCapture([PICTURE] * 10, length=30)))) == 10


@pytest.mark.parametrize("frames", [[None], [None] * 40])
def test_a_video_of_which_no_frame_can_be_decoded_is_no_source(frames):
    with pytest.raises(CameraUnavailableError, match="holds no frame that can be read"):
        numbers(video(FakeCapture(frames, length=len(frames))))


def test_a_video_without_any_frame_is_no_source():
    with pytest.raises(CameraUnavailableError, match="holds no frame"):
        numbers(video(FakeCapture([])))


def test_a_file_that_is_closed_ends_without_complaint():
    capture = FakeCapture([PICTURE] * 100, length=100)
    source = video(capture)
    frames = source.frames(tick=1.0)
    next(frames)
    source.close()
    assert list(frames) == []
    assert capture.released.is_set()


def test_frames_that_cannot_be_decoded_are_left_out():
    assert numbers(video(FakeCapture([PICTURE, None, PICTURE]))) == [0, 2]


def test_every_and_fps_together_are_refused():
    with pytest.raises(OptionError, match="one of them"):
        Selection(every=2, fps=3.0)


@pytest.mark.parametrize("wrong", [{"every": 0}, {"fps": 0.0}, {"fps": float("nan")}])
def test_a_selection_out_of_range_is_refused(wrong):
    with pytest.raises(OptionError):
        Selection(**wrong)


YEAR = 365.0 * 86_400.0


def times(positions, *, rate: float = 10.0) -> list[float]:
    clock = FrameTimes(rate)
    return [clock.next(position) for position in positions]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([0.0, 0.1, 0.25, 0.3], [0.0, 0.1, 0.25, 0.3]),
        ([None, None, None], [0.0, 0.1, 0.2]),
        ([0.0, 0.0, 0.0], [0.0, 0.1, 0.2]),
        # A gap of some seconds is one, and so is one of an hour once the next frame has proved it.
        ([0.0, 0.1, 8.0, 8.1], [0.0, 0.1, 8.0, 8.1]),
        ([0.0, 0.1, 3600.0, 3600.1], [0.0, 0.1, 0.2, 3600.1]),
        # Slides, each for twelve seconds, in a file that says ten frames a second.
        ([0.0, 12.0, 24.0, 36.0, 48.0], [0.0, 0.1, 24.0, 36.0, 48.0]),
        ([0.0, 12.0, 30.0, 30.1, 60.0, 61.0], [0.0, 0.1, 30.0, 30.1, 30.2, 61.0]),
        # Two jumps of which the second goes back prove nothing.
        ([0.0, 0.1, YEAR, 3600.0, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([0.0, 0.1, YEAR, None, 2 * YEAR, 0.5], [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        # One position far off, ahead or behind, is none.
        ([0.0, 0.1, YEAR, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4]),
        ([YEAR, 0.1, 0.2], [0.0, 0.1, 0.2]),
        ([0.0, 0.5, 0.2, 0.9], [0.0, 0.5, 0.6, 0.9]),
        # Two recordings that were joined.
        ([0.0, 0.2, 0.4, 0.0, 0.2, 0.4], [0.0, 0.2, 0.4, 0.5, 0.7, 0.9]),
    ],
)
def test_times_by_hand(positions, expected):
    assert times(positions) == pytest.approx(expected)


def test_the_frames_of_a_slide_show_are_far_apart():
    assert times([0.0, 40.0, 80.0], rate=1.0 / 40.0) == [0.0, 40.0, 80.0]


@given(st.lists(st.none() | st.integers(0, int(2000 * YEAR)), min_size=2))
def test_times_go_forward_whatever_the_container_says(milliseconds):
    found = times([None if each is None else each / 1000.0 for each in milliseconds])
    assert all(before < after for before, after in itertools.pairwise(found))
