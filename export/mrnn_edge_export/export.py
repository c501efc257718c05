"""Export a training run to a checked model folder.

Reads run.json, vocab.json and best.safetensors of a run; writes config.json, vocab.json, the three
graphs, the prior, metrics.json and README.md, all or nothing, after checking parity with torch.
"""

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from mrnn_edge.bundle.config import (
    BundleConfig,
    DecodeDefaults,
    GraphPair,
    GraphRole,
    ImageSpec,
    Precision,
    PriorFile,
    Sizes,
)
from mrnn_edge.bundle.folder import graph_metadata
from mrnn_edge.bundle.prior import PriorVectors
from mrnn_edge.bundle.write import describe_graph, describe_prior, to_json, write_bundle
from mrnn_edge.captioner import Captioner
from mrnn_edge.engine.runtime import Graphs, open_graphs
from mrnn_edge.errors import DatasetError, OptionError
from mrnn_edge.files import write_whole
from mrnn_edge.timing import Track, untracked
from mrnn_edge.verify import LIMIT
from mrnn_edge.vocab import SpecialTokens, Vocabulary, vocabulary_digest
from mrnn_edge_export.card import render_card
from mrnn_edge_export.confidence_fit import fit_confidence
from mrnn_edge_export.gradient import export_gradient
from mrnn_edge_export.modules import IR, OPSET, export_encoder, export_step
from mrnn_edge_export.parity import (
    Network,
    compare_captions,
    largest_differences,
    reference,
)
from mrnn_edge_export.training_prior import training_prior
from mrnn_edge_train import runs
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_split
from mrnn_edge_train.data.mixture import has_pairs, name_of, names_of, parse_sources
from mrnn_edge_train.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished training run."""

    recipe: Recipe
    facts: Mapping[str, Any]
    """run.json."""
    best: Mapping[str, Any]
    """Figures of the best epoch."""
    vocab_json: bytes
    vocabulary: Vocabulary
    network: Network


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The training data as config.json and the model card describe it."""

    data: str | None = None
    """Name and source of the data set; None: the name of its folder."""
    weights_licence: str = "the terms of the training data hold"
    """Use of the weights that the data's terms allow."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    config: BundleConfig
    parity: Mapping[str, Any]
    unreadable: tuple[str, ...]
    """Names of unreadable training pictures, which the prior leaves out."""


def read_run(folder: Path) -> Run:
    """Read a run. Raises OptionError as `runs.read_run` does."""
    trained = runs.read_run(folder)
    return Run(
        recipe=trained.recipe,
        facts=trained.facts,
        best=trained.facts["best"],
        vocab_json=trained.vocab_json,
        vocabulary=trained.vocabulary,
        network=Network(cnn=trained.cnn, model=trained.model),
    )


def export_run(
    run_folder: Path,
    out: Path,
    *,
    origin: Origin,
    data: Path | None = None,
    track: Track = untracked,
) -> Exported:
    """Export a run into a new folder; its name becomes the model's.

    `data` is the data set for parity (dev pictures) and prior (training pictures); the default is
    that of the run. Raises
    OptionError, DatasetError, or ModelError where torch and ONNX Runtime disagree.
    """
    if os.path.lexists(out):
        raise OptionError(f"{out} exists already; remove it or export to another folder")
    run = read_run(run_folder)
    sources = parse_sources(run.facts["data"])
    sets = [data] if data else [each.path for each in sources if has_pairs(each.path)]
    splits = _pictures(sets)
    identity = bundle_id(run.network, run.vocab_json)
    metadata = metadata_by_role(identity, run.vocab_json)
    model, cnn = run.network.model, run.network.cnn
    graphs = {
        GraphRole.ENCODER: export_encoder(cnn, model, metadata[GraphRole.ENCODER]),
        GraphRole.STEP: export_step(model, metadata[GraphRole.STEP]),
        GraphRole.GRADIENT: export_gradient(model, metadata[GraphRole.GRADIENT]),
    }
    config = _config(run, origin, out.name, identity, graphs)
    opened = open_graphs(config, read=graphs.__getitem__, metadata=metadata.__getitem__)
    parity = _parity(run, opened, splits[Split.DEV], track)
    vectors, unreadable = training_prior(
        opened.encoder, splits[Split.TRAIN], config.image, track=track
    )
    config = dataclasses.replace(config, prior=describe_vectors(vectors))
    metrics = {"graphs": {"opset": OPSET, "ir": IR}, "parity": parity, "training": run.best}
    write_model(out, config, run.vocab_json, graphs, vectors, metrics)
    dev_sets = {name_of(each): read_split(each, Split.DEV) for each in sets}
    captioner = Captioner.load(out, device="cpu")
    if (fitted := fit_confidence(captioner, dev_sets, track=track)) is not None:
        config = dataclasses.replace(config, confidence=fitted.weights)
        rewrite(out, config, {**metrics, "confidence": dict(fitted.figures)})
    return Exported(folder=out, config=config, parity=parity, unreadable=unreadable)


def rewrite(folder: Path, config: BundleConfig, metrics: Mapping[str, Any]) -> None:
    """Replace what a model folder says of its graphs: metrics.json, the card, then config.json."""
    write_whole(folder / "metrics.json", to_json(metrics))
    write_whole(folder / "README.md", render_card(config, metrics))
    write_whole(folder / "config.json", to_json(config.to_dict()))


def metadata_by_role(identity: str, vocab_json: bytes) -> dict[GraphRole, dict[str, str]]:
    """The metadata of each graph of the bundle with this id."""
    digest = vocabulary_digest(vocab_json)
    return {
        role: graph_metadata(bundle_id=identity, vocabulary_sha256=digest, role=role)
        for role in GraphRole
    }


def describe_pair(graphs: Mapping[GraphRole, bytes]) -> GraphPair:
    """The config.json entry of the float pair."""
    encoder, step = (
        describe_graph(f"{role}.onnx", graphs[role]) for role in (GraphRole.ENCODER, GraphRole.STEP)
    )
    return GraphPair(encoder=encoder, step=step)


def describe_vectors(prior: PriorVectors | None) -> PriorFile | None:
    """The config.json entry of prior.npy, if there is one."""
    if prior is None:
        return None
    return describe_prior("prior.npy", prior.to_npy(), groups=len(prior.centres))


def write_model(
    out: Path,
    config: BundleConfig,
    vocab_json: bytes,
    graphs: Mapping[GraphRole, bytes],
    prior: PriorVectors | None,
    metrics: Mapping[str, Any],
) -> None:
    """Write a new model folder atomically. Raises BundleError if it exists."""
    write_bundle(
        out,
        {
            "config.json": to_json(config.to_dict()),
            "vocab.json": vocab_json,
            **{f"{role}.onnx": data for role, data in graphs.items()},
            **({} if prior is None else {"prior.npy": prior.to_npy()}),
            "metrics.json": to_json(metrics),
            "README.md": render_card(config, metrics),
        },
    )


def bundle_id(network: Network, vocab_json: bytes) -> str:
    """First 16 hex digits of the sha256 over all trained weights (safetensors) and vocab.json."""
    weights: dict[str, torch.Tensor] = {
        f"{part}.{name}": tensor.contiguous()
        for part, module in (("cnn", network.cnn), ("model", network.model))
        for name, tensor in module.state_dict().items()
    }
    return hashlib.sha256(save(weights) + vocab_json).hexdigest()[:16]


def _pictures(sets: Sequence[Path]) -> dict[Split, list[Path]]:
    """The pictures of all sets by split."""
    try:
        return {
            split: [image.path for data in sets for image in read_split(data, split)]
            for split in (Split.TRAIN, Split.DEV)
        }
    except DatasetError as error:
        raise DatasetError(f"{error}; name the data set with --data") from None


def _parity(run: Run, graphs: Graphs, pictures: list[Path], track: Track) -> dict[str, Any]:
    decoding = run.recipe.decoding
    return {
        "limit": LIMIT,
        "largest_difference": largest_differences(run.network, graphs),
        "captions": compare_captions(
            run.network, graphs, run.vocabulary, pictures, decoding, track=track
        ),
        "reference": reference(run.network, run.vocabulary, decoding).to_dict(),
    }


def _config(
    run: Run, origin: Origin, name: str, identity: str, graphs: Mapping[GraphRole, bytes]
) -> BundleConfig:
    recipe, model = run.recipe, run.network.model
    calibration = run.facts.get("calibration")
    return BundleConfig(
        name=name,
        id=identity,
        image=ImageSpec(height=recipe.image_size, width=recipe.image_size),
        sizes=Sizes(
            vocabulary=len(run.vocabulary),
            image=model.sizes.multimodal,
            state=model.recurrent.state_size,
        ),
        tokens=SpecialTokens(),
        precisions={Precision.FLOAT32: describe_pair(graphs)},
        default_precision=Precision.FLOAT32,
        opset=OPSET,
        decoding=DecodeDefaults(length_penalty=recipe.length_penalty),
        gradient=describe_graph("gradient.onnx", graphs[GraphRole.GRADIENT]),
        training={
            "data": origin.data or names_of(run.facts["data"]),
            "sentences": run.facts["train_sentences"],
            "epochs": f"{run.facts['epochs']} of {recipe.all_epochs}, the best on dev kept",
            "seed": run.facts["seed"],
            "seconds": run.facts["seconds"],
            "machine": run.facts["machine"],
            # Older runs lack the entry: the CPU.
            "devices": run.facts.get("devices", ["cpu"]),
            "torch": run.facts["torch"],
            "recipe": recipe.to_dict(),
            **({"calibration": calibration} if calibration else {}),
        },
        licence={
            "code": "Apache-2.0",
            "weights": origin.weights_licence,
            "cnn": "EfficientNet-Lite, trained on ImageNet by Google; Apache-2.0",
        },
    )
