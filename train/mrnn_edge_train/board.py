"""The figures of each epoch as curves for TensorBoard (extra `tensorboard`).

Takes epochs, writes event files into a run's folder; a run that goes on adds to them.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from mrnn_edge.errors import MissingExtraError
from mrnn_edge_train.journal import EpochFigures

BOARD = "tensorboard"
"""Name of the folder in that of the run."""


def shown(epochs: Iterable[EpochFigures], out: Path) -> Iterator[EpochFigures]:
    """The epochs, each written to the event files when it comes; by stage and epoch.

    Raises MissingExtraError, before the first, without TensorBoard.
    """
    try:
        make = import_module("torch.utils.tensorboard").SummaryWriter
    except ModuleNotFoundError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    writer = None
    try:
        for each in epochs:
            # Not earlier: a run wants its folder empty.
            writer = writer or make(log_dir=str(out / BOARD))
            for name in ("train_bits", "gradient", "dev_perplexity", "dev_cider", "seconds"):
                if (value := getattr(each, name)) is not None:
                    writer.add_scalar(f"{each.stage}/{name}", value, each.epoch)
            writer.flush()
            yield each
    finally:
        if writer is not None:
            writer.close()
