"""Curves for TensorBoard: read back by it, and otherwise with a writer that takes its place."""

import dataclasses
import sys
import types

import numpy as np
import pytest

from mrnn_edge.errors import MissingExtraError
from mrnn_edge_train.journal import EpochFigures, StageName, shown


def epoch(stage, number):
    return EpochFigures(
        stage=stage, epoch=number, train_bits=4.0 / number, dev_perplexity=20.0, dev_cider=0.4,
        seconds=60.0, best=True, gradient=number / 2,
    )  # fmt: skip


class Writer:
    """What is asked of a SummaryWriter."""

    made: list["Writer"]

    def __init__(self, *, log_dir):
        self.log_dir, self.scalars, self.flushed, self.closed = log_dir, [], 0, False
        self.made.append(self)

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def flush(self):
        self.flushed = len(self.scalars)

    def close(self):
        self.closed = True


@pytest.fixture
def writers(monkeypatch):
    monkeypatch.setattr(Writer, "made", [], raising=False)
    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return Writer.made


def test_epochs_pass_through_and_are_on_disk_when_they_do(writers, tmp_path):
    epochs = [epoch(StageName.FEATURES, 1), epoch(StageName.FEATURES, 2), epoch("finetune", 1)]
    passing = shown(iter(epochs), tmp_path)
    assert writers == []
    assert next(passing) == epochs[0]
    (writer,) = writers
    assert writer.log_dir == str(tmp_path / "tensorboard")
    assert writer.flushed == 5
    assert not writer.closed
    assert list(passing) == epochs[1:]
    assert writer.closed
    assert ("features/train_bits", 2.0, 2) in writer.scalars
    assert ("finetune/dev_cider", 0.4, 1) in writer.scalars
    assert len(writer.scalars) == writer.flushed == 15


def test_an_epoch_from_before_the_gradient_was_kept_has_a_point_less(writers, tmp_path):
    old = dataclasses.replace(epoch(StageName.FEATURES, 1), gradient=None)
    assert list(shown(iter([old]), tmp_path)) == [old]
    assert len(writers[0].scalars) == 4


def test_tensorboard_itself_reads_every_figure_and_a_run_that_goes_on_adds_to_them(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    epochs = [epoch(StageName.FEATURES, number) for number in (1, 2, 3)]
    assert list(shown(iter(epochs[:2]), tmp_path)) == epochs[:2]
    assert list(shown(iter(epochs[2:]), tmp_path)) == epochs[2:]
    board = events.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    figures = ("train_bits", "gradient", "dev_perplexity", "dev_cider", "seconds")
    assert sorted(board.Tags()["scalars"]) == sorted(f"features/{name}" for name in figures)
    for name in figures:
        found = [(point.step, point.value) for point in board.Scalars(f"features/{name}")]
        expected = [(each.epoch, np.float32(getattr(each, name))) for each in epochs]
        assert found == expected, name


def test_a_run_that_fails_leaves_the_curves_closed(writers, tmp_path):
    def failing():
        yield epoch(StageName.FEATURES, 1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        list(shown(failing(), tmp_path))
    assert writers[0].closed


def test_without_tensorboard_the_extra_is_named_before_anything_is_trained(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    begun = []
    with pytest.raises(MissingExtraError, match=r"mrnn-edge\[tensorboard\]"):
        list(shown((begun.append(each) for each in (1, 2)), tmp_path))
    assert begun == []
