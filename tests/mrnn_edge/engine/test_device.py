import pytest

from mrnn_edge.engine.device import parse_device


@pytest.mark.parametrize(
    ("request_", "expected"), [("cpu", "cpu"), ("cuda", "cuda:0"), ("cuda:12", "cuda:12")]
)
def test_a_device_is_written_as_it_is_read(request_, expected):
    assert str(parse_device(request_)) == expected
    assert parse_device(expected) == parse_device(request_)
    assert parse_device("auto") is None
