"""A training run read back: its recipe, its words, and the network that was kept.

For export, and for networks that learn from others (teachers.py). Knows no data set.
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
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.finetune import split_weights
from mrnn_edge_train.journal import BEST, RUN, VOCABULARY
from mrnn_edge_train.model import MRNN, ModelSizes
from mrnn_edge_train.recipe import Recipe, recipe_from_dict


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that has finished an epoch at least."""

    recipe: Recipe
    facts: Mapping[str, Any]
    """run.json."""
    vocab_json: bytes
    vocabulary: Vocabulary
    cnn: EfficientNetLite
    """With the weights that the run gave it, or ImageNet's where it was not trained."""
    model: MRNN
    """In inference mode, as the CNN."""


def read_run(folder: Path) -> TrainedRun:
    """Read a run. Raises OptionError if it is none, or was trained on features of another CNN."""
    try:
        facts = json.loads((folder / RUN).read_bytes())
        vocab_json = (folder / VOCABULARY).read_bytes()
        vocabulary = Vocabulary(tuple(json.loads(vocab_json)))
        recipe = recipe_from_dict(facts["recipe"], RUN)
        missing = {"data", "seed", "epochs", "seconds", "best", "machine", "torch"} - facts.keys()
        if missing:
            raise KeyError(*sorted(missing))
        model = MRNN(ModelSizes(**facts["sizes"]))
        cnn_weights, model_weights = split_weights(load((folder / BEST).read_bytes()))
        model.load_state_dict(model_weights)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise OptionError(
            f"{folder} is no training run ({error}); make one with `mrnn-edge train`"
        ) from None
    if recipe.encoder not in list(EncoderName):
        raise OptionError(
            f"{folder} was trained on the feature table {recipe.encoder}: there is no CNN to "
            f"export or to learn from; train with one of {', '.join(EncoderName)}"
        )
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size, classes=recipe.classes)
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
