"""Read a training run: its recipe, its vocabulary, and the best network.

For export. Knows no data set.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load

from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import Vocabulary
from mrnn_edge_train.journal import BEST, RUN, VOCABULARY, read_facts
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.model import MRNN, ModelSizes
from mrnn_edge_train.recipe import Recipe, recipe_from_dict
from mrnn_edge_train.stages.finetune import split_weights
from mrnn_edge_train.stages.stages import build_cnn


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run with at least one finished epoch."""

    recipe: Recipe
    facts: Mapping[str, Any]
    """run.json."""
    vocab_json: bytes
    vocabulary: Vocabulary
    cnn: EfficientNetLite
    """With its weights of the run, or of ImageNet if the run did not tune it."""
    model: MRNN
    """In inference mode, like the CNN."""


def read_run(folder: Path) -> TrainedRun:
    """Read a run. Raises OptionError if it is not a run, or was trained on a feature table."""
    facts = read_facts(folder, "epochs", "seconds", "best", "machine", "torch")
    try:
        vocab_json = (folder / VOCABULARY).read_bytes()
        vocabulary = Vocabulary(tuple(json.loads(vocab_json)))
        recipe = recipe_from_dict(facts["recipe"], RUN)
        model = MRNN(ModelSizes(**facts["sizes"]))
        cnn_weights, model_weights = split_weights(load((folder / BEST).read_bytes()))
        model.load_state_dict(model_weights)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise OptionError(
            f"{folder} is not a training run ({error}); make one with `mrnn-edge train`"
        ) from None
    if recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"{folder} was trained on the feature table {recipe.encoder}: there is no CNN to "
            f"export; train with one of {', '.join(EncoderName)}"
        )
    cnn = build_cnn(recipe)
    if cnn_weights:
        cnn.load_state_dict(cnn_weights)
    return TrainedRun(
        recipe=recipe,
        facts=facts,
        vocab_json=vocab_json,
        vocabulary=vocabulary,
        cnn=cnn,
        model=model.eval(),
    )
