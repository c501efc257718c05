"""Soft targets: what several trained networks, on average, would say next.

Each teacher looks at the same pictures with a CNN of its own, and the mean of their distributions
is what another network learns (knowledge distillation of an ensemble, Hinton et al. 2015). Takes
pictures and sentences, gives probabilities; computed on the fly, without gradients.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.batches import Sentences
from mrnn_edge_train.recipe import Distill
from mrnn_edge_train.runs import TrainedRun, read_run
from mrnn_edge_train.tuning import features


class Teachers:
    """Networks in inference mode that are asked together, on one device."""

    def __init__(
        self,
        runs: Sequence[TrainedRun],
        *,
        temperature: float,
        bfloat16: bool,
        device: torch.device,
    ) -> None:
        self._runs = tuple(runs)
        self._temperature = temperature
        self._bfloat16 = bfloat16
        for run in self._runs:
            run.model.to(device)
            run.cnn.to(device)
            run.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs

    @torch.no_grad()
    def __call__(self, pictures: Tensor, rows: Tensor, sentences: Sentences) -> Tensor:
        """uint8 [N, S, S, 3], and the picture of each sentence [B] -> probabilities [P, V].

        They are softmax(logits / temperature), averaged over the teachers, on whose device all is.
        """
        total: Tensor | None = None
        for run in self._runs:
            vectors = features(run.cnn, pictures, bfloat16=self._bfloat16)
            logits = run.model(sentences.inputs, vectors[rows], sentences.mask)
            found = torch.softmax(logits / self._temperature, dim=-1)
            total = found if total is None else total.add_(found)
        if total is None:
            raise ValueError("no teacher")
        return total / len(self._runs)


def read_teachers(
    settings: Distill, vocabulary: Vocabulary, *, bfloat16: bool, device: torch.device
) -> Teachers:
    """The teachers of a recipe, on the device; with `bfloat16` their CNNs compute in it.

    Raises OptionError for a folder that is no run with a CNN, and for one with another vocabulary:
    its probabilities would be of other words.
    """
    runs = []
    for teacher in settings.teachers:
        run = read_run(Path(teacher))
        if run.vocab_json != vocabulary.to_json():
            raise OptionError(
                f"the teacher {teacher} has another vocabulary ({len(run.vocabulary):,} words, "
                f"here {len(vocabulary):,}); train it on the same data and minimum_count"
            )
        runs.append(run)
    return Teachers(runs, temperature=settings.temperature, bfloat16=bfloat16, device=device)
