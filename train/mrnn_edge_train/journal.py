"""How far a training run is, and what its epochs came to: run.json and log.ndjson. No torch."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrnn_edge.bundle import to_json, write_atomically
from mrnn_edge.errors import OptionError

RUN, LOG, BEST, VOCABULARY = "run.json", "log.ndjson", "best.safetensors", "vocab.json"


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
    """What an epoch came to. Perplexities count the end sign; unknown words count as one word."""

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
    """Mean length of a step's gradient before it was clipped; runs from before lack it."""
    dev_sets: Mapping[str, float] | None = None
    """CIDEr of each dev set where there are several; `dev_cider` is then their mean."""

    def excels(self, other: "EpochFigures", *, image: bool) -> bool:
        """Whether it is the one to keep of the two: by dev CIDEr, or by perplexity where the
        network sees no image, and has one sentence for all pictures."""
        if image:
            return self.dev_cider > other.dev_cider
        return self.dev_perplexity < other.dev_perplexity


@dataclass(kw_only=True)
class Progress:
    """Where a run stands."""

    stage: StageName = StageName.FEATURES
    epoch: int = 1
    """The epoch under way in its stage."""
    step: int = 0
    """Steps of it that are done."""
    bits: float = 0.0
    """What they add to its mean cost."""
    gradient: float = 0.0
    """And to the mean length of its gradients."""
    seconds: float = 0.0
    """What they took."""
    finished: list[EpochFigures] = field(default_factory=list)

    @property
    def best(self) -> EpochFigures | None:
        """The best epoch so far."""
        return next((each for each in reversed(self.finished) if each.best), None)

    def finish_epoch(self, figures: EpochFigures) -> None:
        """Enter an epoch's figures and stand before the next."""
        self.finished.append(figures)
        self.epoch, self.step = self.epoch + 1, 0
        self.bits, self.gradient, self.seconds = 0.0, 0.0, 0.0

    def to_json(self) -> str:
        """One line; floats survive it to the last bit."""
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
    """Write run.json and log.ndjson, each whole or not at all.

    run.json holds the run's facts and, once there is one, its best epoch.
    """
    lines = "".join(json.dumps(asdict(figures)) + "\n" for figures in progress.finished)
    write_atomically(folder / LOG, lines.encode("ascii"))
    so_far: dict[str, Any] = {}
    if progress.best is not None:
        so_far = {
            "epochs": len(progress.finished),
            "seconds": round(sum(figures.seconds for figures in progress.finished)),
            "best": asdict(progress.best),
        }
    write_atomically(folder / RUN, to_json({**facts, **so_far}))


def read_facts(folder: Path) -> dict[str, Any]:
    """run.json of a run. Raises OptionError if there is none."""
    try:
        facts: dict[str, Any] = json.loads((folder / RUN).read_bytes())
        if missing := {"recipe", "seed", "data"} - facts.keys():
            raise KeyError(*sorted(missing))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise OptionError(
            f"{folder} is no training run ({error}); make one with `mrnn-edge train`"
        ) from None
    return facts
