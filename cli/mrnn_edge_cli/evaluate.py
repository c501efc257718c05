"""`mrnn-edge eval`: figures of a model on a split of a data set."""

import shlex
from typing import Annotated, Any

import typer

from mrnn_edge.config import DecodeOptions
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import Progress, say, write, write_json
from mrnn_edge_train.flickr8k import Split, read_split


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
        str | None, typer.Option("--captions", metavar="FILE", help="Write NAME<TAB>caption here.")
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
    need("eval", "pycocoevalcap")
    from mrnn_edge_train.evaluate import evaluate as measure

    wishes = DecodeOptions(beam=beam, max_words=max_words, length_penalty=length_penalty)
    images, train = read_split(data, split), read_split(data, Split.TRAIN)
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    found = measure(captioner, images, train, wishes, track=Progress(quiet=quiet))
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
    if captions is not None:
        with open(captions, "w", encoding="utf-8") as file:
            file.writelines(f"{name}\t{text}\n" for name, text in found.captions)
    if save:
        from mrnn_edge_export.card import save_evaluation

        command = f"mrnn-edge eval --model {shlex.quote(captioner.config.name)} "
        command += f"--data {shlex.quote(data.resolve().name)} --split {split} --beam {beam} "
        command += f"--max-words {max_words} --length-penalty {penalty:g}"
        save_evaluation(captioner.bundle, str(split), {**record, "command": command})
        if not quiet:
            say(f"figures of {split} entered in {captioner.bundle.folder}")
    if json:
        write_json(record)
        return
    for key, value in record.items():
        shown = ", ".join(f"{each:.4f}" for each in value) if isinstance(value, list) else value
        write(f"{key}: {shown:.4f}" if isinstance(value, float) else f"{key}: {shown}")
