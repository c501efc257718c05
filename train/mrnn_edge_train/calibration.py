"""The last touch to a run: a temperature that makes its probabilities as sure as they are right.

Label smoothing and dropout leave a network less sure than it could be. T is fitted on dev by
perplexity (temperature scaling, Guo et al. 2017) and folded into the softmax,

    softmax(z / T),  z = W m + b   ->   W / T,  b / T        (tied: z = E_1^T W m + b, E_1 stays)

so that the exported model is a better probability model at no cost. The likeliest word stays the
likeliest. Takes a run's folder; changes best.safetensors once, and its header says that it was.
"""

import copy
import json
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from scipy.optimize import minimize_scalar

from mrnn_edge.bundle import write_atomically
from mrnn_edge_train.batches import Examples
from mrnn_edge_train.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.features import FeatureTable, compute_table
from mrnn_edge_train.finetune import split_weights
from mrnn_edge_train.journal import BEST
from mrnn_edge_train.mixed import figures_by_set
from mrnn_edge_train.model import MRNN, TiedSoftmax
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages import TrainingData, build_model
from mrnn_edge_train.tuning import features
from mrnn_edge_train.validation import DevFigures, perplexity

_HEADER = "calibration"
_WIDEST = 4.0
"""T is looked for between 1/4 and 4."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What came of it."""

    temperature: float
    before: DevFigures
    after: DevFigures


@torch.no_grad()
def divide_logits(model: MRNN, temperature: float) -> None:
    """Fold a temperature into the softmax: from now on the logits are z / T."""
    softmax = model.softmax
    weight = softmax.projection.weight if isinstance(softmax, TiedSoftmax) else softmax.weight
    weight.div_(temperature)
    softmax.bias.div_(temperature)


def fit_temperature(model: MRNN, examples: Examples) -> float:
    """The T between 1/4 and 4 that gives the sentences the least perplexity; 1 if none is better.

    The bits are convex in 1 / T, so the search finds the one minimum.
    """

    def worth(logarithm: float) -> float:
        scaled = copy.deepcopy(model)
        divide_logits(scaled, math.exp(logarithm))
        return perplexity(scaled, examples.in_order())

    ends = (-math.log(_WIDEST), math.log(_WIDEST))
    found = minimize_scalar(worth, bounds=ends, method="bounded", options={"xatol": 1e-3})
    return math.exp(float(found.x)) if float(found.fun) < worth(0.0) else 1.0


def calibrate(recipe: Recipe, data: TrainingData, out: Path) -> Calibration:
    """Calibrate the kept weights of a finished run; a second time it only says what came of it."""
    path = out / BEST
    with safe_open(path, framework="pt") as stored:
        done = (stored.metadata() or {}).get(_HEADER)
    if done is not None:
        values = json.loads(done)
        before, after = (DevFigures(**values.pop(name)) for name in ("before", "after"))
        return Calibration(**values, before=before, after=after)
    weights = load_file(path)
    cnn, rest = split_weights(weights)
    model = build_model(recipe, data)
    model.load_state_dict(rest)
    model.eval()
    table = _dev_table(recipe, data, cnn)
    measure = partial(figures_by_set, recipe=recipe, data=data, table=table)
    before = measure(model)
    temperature = fit_temperature(model, Examples(data.dev, table, data.vocabulary))
    divide_logits(model, temperature)
    found = Calibration(temperature=temperature, before=before, after=measure(model))
    kept = {**weights, **model.state_dict()}
    header = {_HEADER: json.dumps(asdict(found))}
    # Weights and header in one file: a run that dies here is not calibrated twice.
    write_atomically(
        path, save({name: each.cpu().contiguous() for name, each in kept.items()}, metadata=header)
    )
    return found


def _dev_table(
    recipe: Recipe, data: TrainingData, weights: dict[str, torch.Tensor]
) -> FeatureTable:
    """The dev pictures as the kept CNN reads them."""
    if not weights:
        return data.dev_table
    cnn = EfficientNetLite(EncoderName(recipe.encoder), recipe.image_size, classes=recipe.classes)
    cnn.load_state_dict(weights)
    cnn.to(data.device)
    encoder = partial(features, cnn, bfloat16=False)
    return compute_table(encoder, data.dev, size=recipe.image_size, mirror=False)
