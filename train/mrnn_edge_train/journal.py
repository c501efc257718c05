"""The progress of a training run and the figures of its epochs: run.json, log.ndjson, TensorBoard.

No torch, but for TensorBoard curves.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Any

from mrnn_edge.bundle.write import to_json
from mrnn_edge.errors import MissingExtraError, OptionError
from mrnn_edge.files import write_whole

RUN, LOG, BEST, VOCABULARY = "run.json", "log.ndjson", "best.safetensors", "vocab.json"
BOARD = "tensorboard"
"""The folder of TensorBoard's event files in a run's folder."""


class StageName(StrEnum):
    """The stages of a run, in their order."""

    FEATURES = "features"
    """The language model alone, on the vectors of a frozen CNN."""
    FINETUNE = "finetune"
    """CNN and language model together."""
    SELF_CRITICAL = "self-critical"
    """The language model, rewarded for the CIDEr of its samples."""


@dataclass(frozen=True, kw_only=True)
class EpochFigures:
    """The figures of an epoch. Perplexities count the end sign; unknown words count as one word."""

    stage: StageName
    epoch: int
    """Counted from 1 in its stage."""
    train_bits: float
    """Mean cost a word in bits, with dropout, smoothing and the L2 term in it."""
    dev_perplexity: float
    dev_cider: float
    seconds: float
    best: bool
    """The best epoch so far, of all stages."""
    gradient: float | None = None
    """Mean gradient norm before clipping; older runs lack it."""
    dev_sets: Mapping[str, float] | None = None
    """CIDEr of each dev set, if there are several; `dev_cider` is their mean."""

    def excels(self, other: "EpochFigures", *, image: bool) -> bool:
        """Whether it is the better epoch: by dev CIDEr, or by perplexity for a network without the
        image, which gives every picture the same caption."""
        if image:
            return self.dev_cider > other.dev_cider
        return self.dev_perplexity < other.dev_perplexity


@dataclass(kw_only=True)
class Progress:
    """How far a run is."""

    stage: StageName = StageName.FEATURES
    epoch: int = 1
    """The current epoch of the stage."""
    step: int = 0
    """Completed steps of the epoch."""
    bits: float = 0.0
    """Their contribution to the mean cost of the epoch."""
    gradient: float = 0.0
    """Their contribution to the mean gradient norm."""
    seconds: float = 0.0
    """Their duration."""
    finished: list[EpochFigures] = field(default_factory=list)

    @property
    def best(self) -> EpochFigures | None:
        """The best epoch so far."""
        return next((each for each in reversed(self.finished) if each.best), None)

    def finish_epoch(self, figures: EpochFigures) -> None:
        """Record an epoch's figures and move to the next epoch."""
        self.finished.append(figures)
        self.epoch, self.step = self.epoch + 1, 0
        self.bits, self.gradient, self.seconds = 0.0, 0.0, 0.0

    def to_json(self) -> str:
        """One line; floats keep every bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Progress":
        """The inverse. Raises ValueError, KeyError or TypeError."""
        values = json.loads(text)
        finished = [
            EpochFigures(**{**each, "stage": StageName(each["stage"])})
            for each in values.pop("finished")
        ]
        return cls(**{**values, "stage": StageName(values["stage"]), "finished": finished})


def write_journal(folder: Path, facts: Mapping[str, Any], progress: Progress) -> None:
    """Write run.json and log.ndjson, each atomically.

    run.json holds the run's facts and, once there is one, its best epoch.
    """
    lines = "".join(json.dumps(asdict(figures)) + "\n" for figures in progress.finished)
    write_whole(folder / LOG, lines.encode("ascii"))
    so_far: dict[str, Any] = {}
    if progress.best is not None:
        so_far = {
            "epochs": len(progress.finished),
            "seconds": round(sum(figures.seconds for figures in progress.finished)),
            "best": asdict(progress.best),
        }
    write_whole(folder / RUN, to_json({**facts, **so_far}))


def read_facts(folder: Path, *needed: str) -> dict[str, Any]:
    """run.json of a run. Raises OptionError if it is missing or malformed, or lacks a key."""
    try:
        facts: dict[str, Any] = json.loads((folder / RUN).read_bytes())
        if missing := {"recipe", "seed", "data", *needed} - facts.keys():
            raise KeyError(*sorted(missing))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise OptionError(
            f"{folder} is not a training run ({error}); make one with `mrnn-edge train`"
        ) from None
    return facts


def shown(epochs: Iterable[EpochFigures], out: Path) -> Iterator[EpochFigures]:
    """Yield the epochs, each first written to event files as TensorBoard curves by stage and epoch.

    A resumed run adds to them. Raises MissingExtraError at once without TensorBoard.
    """
    try:
        make = import_module("torch.utils.tensorboard").SummaryWriter
    except ModuleNotFoundError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    writer = None
    try:
        for each in epochs:
            # Not earlier: a new run needs an empty folder.
            writer = writer or make(log_dir=str(out / BOARD))
            for name in ("train_bits", "gradient", "dev_perplexity", "dev_cider", "seconds"):
                if (value := getattr(each, name)) is not None:
                    writer.add_scalar(f"{each.stage}/{name}", value, each.epoch)
            writer.flush()
            yield each
    finally:
        if writer is not None:
            writer.close()
