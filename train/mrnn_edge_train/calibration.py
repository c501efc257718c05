"""Calibration at the end of a run: a temperature that makes its probabilities match its accuracy.

Label smoothing and dropout leave a network underconfident. T is fitted on dev by
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

from mrnn_edge.files import write_whole
from mrnn_edge_train.journal import BEST
from mrnn_edge_train.network.model import MRNN, TiedSoftmax
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.recipe import Recipe
from mrnn_edge_train.stages.batches import Examples
from mrnn_edge_train.stages.features import FeatureTable, compute_table
from mrnn_edge_train.stages.finetune import split_weights
from mrnn_edge_train.stages.stages import TrainingData, build_cnn, build_model, measured
from mrnn_edge_train.stages.validation import DevFigures, perplexity

_HEADER = "calibration"
_WIDEST = 4.0
"""T is searched between 1/4 and 4."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The temperature, and dev figures before and after."""

    temperature: float
    before: DevFigures
    after: DevFigures


@torch.no_grad()
def divide_logits(model: MRNN, temperature: float) -> None:
    """Fold a temperature into the softmax in place: the logits become z / T."""
    softmax = model.softmax
    weight = softmax.projection.weight if isinstance(softmax, TiedSoftmax) else softmax.weight
    weight.div_(temperature)
    softmax.bias.div_(temperature)


def fit_temperature(model: MRNN, examples: Examples) -> float:
    """The T between 1/4 and 4 with the lowest perplexity of the sentences; 1 if none is better.

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
    """Calibrate the kept weights of a finished run; a second call only returns the result."""
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
    measure = partial(measured, recipe=recipe, data=data, table=table)
    before = measure(model)
    temperature = fit_temperature(model, Examples(data.dev, table, data.vocabulary))
    divide_logits(model, temperature)
    found = Calibration(temperature=temperature, before=before, after=measure(model))
    kept = {**weights, **model.state_dict()}
    header = {_HEADER: json.dumps(asdict(found))}
    # Weights and header in one file: a run that crashes here is not calibrated twice.
    write_whole(
        path, save({name: each.cpu().contiguous() for name, each in kept.items()}, metadata=header)
    )
    return found


def _dev_table(
    recipe: Recipe, data: TrainingData, weights: dict[str, torch.Tensor]
) -> FeatureTable:
    """The dev pictures as the kept CNN reads them."""
    if not weights:
        return data.dev_table
    cnn = build_cnn(recipe)
    cnn.load_state_dict(weights)
    cnn.to(data.device)
    encoder = partial(features, cnn, bfloat16=False)
    return compute_table(encoder, data.dev, size=recipe.image_size, mirror=False)
