"""What all stages have alike: the learning rate over their steps."""

import dataclasses

import dataset
import pytest

from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import Schedule
from mrnn_edge_train.stages.finetune import FinetuneStage, WholeNetwork
from mrnn_edge_train.stages.selfcritical import SelfCriticalStage
from mrnn_edge_train.stages.stages import FeatureStage, build_model


def stages_of(recipe, folder):
    """The three stages of a recipe, none of them trained."""
    data = dataset.write(folder / "set", train=12, dev=6, test=2)
    prepared = prepare(recipe, data, cache=folder)
    model = build_model(recipe, prepared)
    network = WholeNetwork(EfficientNetLite(EncoderName.LITE0, recipe.image_size), model)
    return (
        FeatureStage(recipe, prepared, seed=1),
        FinetuneStage(recipe, prepared, network, seed=1),
        SelfCriticalStage(recipe, prepared, model, network.cnn, seed=1),
    )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Of 12 steps 2 rise; the cosine is at its top after them, at a half in the middle of the
        # other 10 and at nought at the end.
        (Schedule.COSINE, {0: 0.5, 1: 1.0, 2: 1.0, 7: 0.5, 12: 0.0}),
        (Schedule.CONSTANT, {0: 0.5, 1: 1.0, 2: 1.0, 7: 1.0, 12: 1.0}),
    ],
)
def test_every_stage_warms_up_and_follows_the_recipes_schedule(
    schedule, expected, three_stages, tmp_path
):
    for stage in stages_of(dataclasses.replace(three_stages, schedule=schedule), tmp_path):
        stage.steps = 4
        stage.settings = dataclasses.replace(stage.settings, epochs=3, warmup=1 / 6)
        assert {done: stage.rate(done) for done in expected} == pytest.approx(expected)
