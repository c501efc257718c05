"""`mrnn-edge train` from a model: on a data set (--from), or a word (--teach)."""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from mrnn_edge.errors import OptionError
from mrnn_edge_cli.loading import LoadOptions, load
from mrnn_edge_cli.output import Progress, say, write

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge_train.data.common import CaptionedImage
    from mrnn_edge_train.stages.features import FeatureTable


def train_on(loading: LoadOptions, data: Path, out: Path, *, epochs: int | None, seed: int) -> None:
    """Continue training a model's step on a data set; `out` is the new model folder."""
    from mrnn_edge_export.taught import Grown, read_step, write_grown
    from mrnn_edge_export.training_prior import prior_of
    from mrnn_edge_train.data.common import Split
    from mrnn_edge_train.data.datasets import check_pictures, inspect, read_split
    from mrnn_edge_train.further.further import EPOCHS, Further, Pictures

    _check_out(out)
    track = Progress(quiet=loading.quiet)
    inspection = inspect(data)
    if not loading.quiet:
        for line in inspection.lines():
            say(line)
    images = {split: read_split(data, split) for split in inspection.pictures}
    check_pictures(data, [*chain(*images.values())], track=track)
    captioner = load(loading)
    step = read_step(captioner.bundle, captioner.graphs.step)
    splits = images[Split.TRAIN], images[Split.DEV]
    train, dev = (
        Pictures(images=images, table=_table(captioner, images, track)) for images in splits
    )
    run = Further(
        step=step, vocabulary=captioner.bundle.vocabulary, train=train, dev=dev, seed=seed
    )
    if not loading.quiet:
        say(f"new words: {', '.join(run.new_words) or 'none'}")
    write(f"before     dev perplexity {run.best:.2f}")
    for figures in run.run(epochs or EPOCHS, track=track):
        write(
            f"epoch {figures.epoch:3d}  train {figures.train_bits:.3f} bits  "
            f"dev perplexity {figures.dev_perplexity:.2f}{' best' if figures.best else ''}"
        )
    base = captioner.config
    grown = Grown(
        step=run.step,
        vocabulary=run.vocabulary,
        prior=prior_of(train.table.features),
        training={
            "data": data.resolve().name,
            "sentences": inspection.sentences[Split.TRAIN],
            "from": f"{base.name} ({base.id})",
            "before": base.training,
            "seed": seed,
        },
    )
    config = write_grown(captioner.bundle, grown, out, dev.table.features)
    write(f"{out}: model {config.name}, id {config.id}")


def teach_word(loading: LoadOptions, word: str, pictures: Path, captions: Path, out: Path) -> None:
    """Teach a model a word; `out` is the new model folder."""
    from mrnn_edge.errors import ModelError
    from mrnn_edge.options import DecodeOptions
    from mrnn_edge_export.taught import Grown, read_step, write_grown
    from mrnn_edge_train.data.caption_list import read_all
    from mrnn_edge_train.data.datasets import check_pictures
    from mrnn_edge_train.further.teach import Lesson, check_lesson, parse_word, teach

    _check_out(out)
    track = Progress(quiet=loading.quiet)
    images = read_all(captions, pictures)
    captioner = load(loading)
    bundle = captioner.bundle
    word = parse_word(word, bundle.vocabulary)
    check_lesson(word, images)
    check_pictures(captions, images, track=track)
    prior = bundle.prior()
    if prior is None:
        raise ModelError(
            f"{bundle.folder} has no prior.npy, which keeps a new word out of the captions of "
            "other pictures; export the model again"
        )
    step = read_step(bundle, captioner.graphs.step)
    table = _table(captioner, images, track)
    lesson = Lesson(word=word, images=images, table=table, typical=prior.centres)
    decoding = DecodeOptions(length_penalty=bundle.config.decoding.length_penalty)
    taught = teach(step, bundle.vocabulary, lesson, decoding, track=track)
    sentences = sum(len(image.sentences) for image in images)
    before = bundle.config.training
    words = [*before.get("taught", []), f"{word} ({len(images)} pictures, {sentences} sentences)"]
    grown = Grown(
        step=taught.step,
        vocabulary=taught.vocabulary,
        prior=prior,
        training={
            **before,
            "from": f"{bundle.config.name} ({bundle.config.id})",
            "taught": words,
        },
    )
    config = write_grown(bundle, grown, out, table.features)
    if taught.unknown and not loading.quiet:
        say(f"words unknown to the model, which it did not learn: {', '.join(taught.unknown)}")
    write(f"{word}: used in the captions of {taught.says} of its {taught.taught_on} pictures")
    write(f"typical other pictures: {taught.kept} of {taught.typical} captions unchanged")
    write(f"{out}: model {config.name}, id {config.id}")


def _check_out(out: Path) -> None:
    if os.path.lexists(out):
        raise OptionError(f"{out} exists already; remove it or name another folder")


def _table(
    captioner: "Captioner", images: "Sequence[CaptionedImage]", track: Progress
) -> "FeatureTable":
    """Image vectors of the model's own encoder."""
    from mrnn_edge_train.evaluation.evaluate import image_vectors
    from mrnn_edge_train.stages.features import FeatureTable

    return FeatureTable(
        names=tuple(image.name for image in images),
        features=image_vectors(captioner, images, track=track),
        mirrored=None,
    )
