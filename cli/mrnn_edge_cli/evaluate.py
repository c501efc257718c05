"""`mrnn-edge eval`: figures of a model on a split of a data set."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from mrnn_edge.config import DecodeOptions
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import Progress, say, write, write_json
from mrnn_edge_train.flickr8k import Split, read_sentences, read_split


def evaluate(
    data: opt.Data,
    split: Annotated[
        Split, typer.Option("--split", help="Tune on dev; test is for reports.")
    ] = Split.DEV,
    beam: opt.Beam = opt.BEAM,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
    json: opt.Json = False,
    captions: Annotated[
        Path | None, typer.Option("--captions", metavar="FILE", help="Write NAME<TAB>caption here.")
    ] = None,
    save: Annotated[
        bool, typer.Option("--save", help="Enter the figures in metrics.json and the model card.")
    ] = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Measure a model: perplexity, BLEU-1..4, ROUGE-L, CIDEr, and METEOR where Java is."""
    need("cpu,eval", "onnxruntime", "pycocoevalcap")
    from mrnn_edge_train.evaluate import evaluate as measure

    wishes = DecodeOptions(beam=beam, max_words=max_words, length_penalty=length_penalty)
    images, known = read_split(data, split), read_sentences(data, Split.TRAIN)
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    found = measure(captioner, images, known, wishes, track=Progress(quiet=quiet))
    penalty = captioner.config.decoding.length_penalty if length_penalty is None else length_penalty
    record: dict[str, Any] = {
        "split": str(split),
        **found.to_record(),
        "vocabulary": len(captioner.bundle.vocabulary),
        "beam": beam,
        "max_words": max_words,
        "length_penalty": penalty,
        "model": captioner.config.name,
        "device": str(captioner.device),
        "precision": str(captioner.precision),
    }
    # The figures come first: what follows can fail, and they took a while.
    if json:
        write_json(record)
    else:
        for key, value in record.items():
            write(f"{key}: {_plain(value)}")
    if captions is not None:
        with captions.open("w", encoding="utf-8") as file:
            file.writelines(f"{name}\t{text}\n" for name, text in found.captions)
    if save:
        from mrnn_edge_export.card import save_evaluation

        save_evaluation(captioner.bundle, {**record, "command": _command(record, data)})
        if not quiet:
            say(f"figures of {split} entered in {captioner.bundle.folder}")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _command(record: dict[str, Any], data: Path) -> str:
    """The command that gives these figures, every choice spelt out."""
    words = ["mrnn-edge", "eval", "--data", data.resolve().name]
    for option in ("model", "precision", "split", "beam", "max_words", "length_penalty"):
        words += [f"--{option.replace('_', '-')}", f"{record[option]}"]
    return shlex.join(words)
