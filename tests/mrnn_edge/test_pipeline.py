from conftest import noise_picture

from mrnn_edge.config import DecodeOptions
from mrnn_edge.pipeline import caption_files
from mrnn_edge.records import Caption


def test_every_file_has_one_outcome_in_order(captioner, tmp_path):
    good = str(noise_picture(tmp_path / "good.jpg"))
    bad = str(tmp_path / "bad.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    outcomes = list(caption_files(captioner, [bad, good, bad], DecodeOptions()))
    assert [outcome.file for outcome in outcomes] == [bad, good, bad]
    record = outcomes[0].to_record()
    assert record == {
        "file": bad,
        "error": {"type": "UnsupportedImageError", "message": record["error"]["message"]},
    }
    assert isinstance(outcomes[1].result, Caption)
    assert outcomes[1].to_record()["caption"] == captioner.caption(good).text
