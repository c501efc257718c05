"""`mrnn-edge eval`: figures of a model on a split of a data set."""

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from mrnn_edge.bundle.folder import load_bundle
from mrnn_edge.errors import OptionError
from mrnn_edge.files import replacing
from mrnn_edge.options import DecodeOptions, Prior
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Exit, Option
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import Progress, say, write, write_json
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_sentences, read_split

if TYPE_CHECKING:
    from mrnn_edge import Captioner


def evaluate(
    data: Annotated[
        Path | None,
        Option("--data", metavar="PATH", help="Data set, as `train` takes it."),
    ] = None,
    split: Annotated[
        Split, Option("--split", help="Tune on dev; test is for reports.")
    ] = Split.DEV,
    retrieval: Annotated[
        bool,
        Option("--retrieval", help="Sentences by picture and pictures by sentence too."),
    ] = False,
    pairs: Annotated[
        Path | None,
        Option(
            "--pairs",
            metavar="FILE",
            help="In place of a data set: PICTURE<TAB>SENTENCE<TAB>GRADE, graded by people.",
        ),
    ] = None,
    consensus: Annotated[
        bool,
        Option(
            "--consensus", help="Of the n best take what near training pictures' captions share."
        ),
    ] = False,
    nbest: Annotated[
        int | None,
        Option("--nbest", min=1, help="With --consensus: candidates of a picture. [10]"),
    ] = None,
    neighbours: Annotated[
        int | None,
        Option("--neighbours", min=1, help="With --consensus: near training pictures. [60]"),
    ] = None,
    similarities: Annotated[
        int | None,
        Option("--similarities", min=1, help="With --consensus: the best that count. [125]"),
    ] = None,
    prior: opt.PriorOption = None,
    beam: opt.Beam = None,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
    no_repeat_ngram: opt.NoRepeatNgram = 0,
    json: opt.Json = False,
    captions: Annotated[
        Path | None, Option("--captions", metavar="FILE", help="Write NAME<TAB>caption here.")
    ] = None,
    force: opt.Force = False,
    save: Annotated[
        bool, Option("--save", help="Enter the figures in metrics.json and the model card.")
    ] = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Measure a model: perplexity, BLEU-1..4, ROUGE-L, CIDEr, and METEOR where Java is.

    With --retrieval the paper's recalls and median ranks too; with --pairs how the model's scores
    go with people's grades, as Kendall's tau.
    """
    if not consensus and (nbest, neighbours, similarities) != (None,) * 3:
        raise OptionError("--nbest, --neighbours and --similarities go with --consensus; add it")
    if pairs is not None:
        search = (beam, max_words, length_penalty, no_repeat_ngram)
        searched = search != (None, opt.MAX_WORDS, None, 0)
        if data or split is not Split.DEV or retrieval or save or consensus or captions or searched:
            raise OptionError("--pairs goes with --prior alone; leave out what captions a data set")
        need("cpu,eval", "onnxruntime", "scipy")
        captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
        _agreement(captioner, pairs, prior, json=json, quiet=quiet)
        return
    if data is None:
        raise OptionError("give --data with a data set, or --pairs with a file of graded pairs")
    if prior is not None:
        raise OptionError("--prior goes with --pairs; --retrieval measures every prior")
    if consensus and save:
        raise OptionError(
            "--consensus needs training captions, which no model carries; leave --save out"
        )
    need("cpu,eval", "onnxruntime", "pycocoevalcap")
    from mrnn_edge_train.evaluation.evaluate import Choice, first, image_vectors
    from mrnn_edge_train.evaluation.evaluate import evaluate as measure

    # The authors' numbers, for MS COCO (consensus.py).
    shape = {
        "nbest": nbest or 10,
        "neighbours": neighbours or 60,
        "similarities": similarities or 125,
    }
    wishes = DecodeOptions(
        beam=beam,
        nbest=shape["nbest"] if consensus else 1,
        max_words=max_words,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
    )
    from mrnn_edge_cli.outputs import check_outputs

    folder = load_bundle(model).folder
    if save:
        from mrnn_edge_export.card import check_card

        check_card(load_bundle(model))
    check_outputs({"--captions": captions}, sources=_files(data, folder), force=force)
    images, known = read_split(data, split), read_sentences(data, Split.TRAIN)
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    track = Progress(quiet=quiet)
    vectors = image_vectors(captioner, images, track=track)
    choose: Choice = first
    if consensus:
        from mrnn_edge_train.evaluation.consensus import Consensus

        near = read_split(data, Split.TRAIN)
        near_vectors = image_vectors(captioner, near, track=track)
        choose = Consensus(
            near,
            near_vectors,
            neighbours=shape["neighbours"],
            similarities=shape["similarities"],
        ).choose
    found = measure(captioner, images, vectors, known, wishes, choose=choose, track=track)
    penalty = captioner.config.decoding.length_penalty if length_penalty is None else length_penalty
    record: dict[str, Any] = {
        "split": str(split),
        **found.to_record(),
        "vocabulary": len(captioner.bundle.vocabulary),
        "beam": wishes.width,
        "max_words": max_words,
        "length_penalty": penalty,
        "no_repeat_ngram": no_repeat_ngram,
        **({"consensus": shape} if consensus else {}),
        **_where(captioner),
    }
    if retrieval:
        from mrnn_edge_train.evaluation.retrieval import evaluate_retrieval

        texts = [text for _, text in found.captions]
        ranked = evaluate_retrieval(captioner, images, vectors, texts, track=track)
        record["retrieval"] = ranked.to_record()
    # The figures come first: what follows can fail, and they took a while.
    _print(record, json=json)
    if captions is not None:
        lines = "".join(f"{name}\t{text}\n" for name, text in found.captions)
        _write_captions(captions, lines.encode(), new=not force)
    if save:
        from mrnn_edge_export.card import save_evaluation

        save_evaluation(captioner.bundle, {**record, "command": _command(record, data)})
        if not quiet:
            say(f"figures of {split} entered in {captioner.bundle.folder}")


def _agreement(
    captioner: "Captioner", path: Path, prior: Prior | None, *, json: bool, quiet: bool
) -> None:
    from mrnn_edge_train.evaluation.agreement import agree, read_pairs

    found = agree(captioner, read_pairs(path), prior=prior, track=Progress(quiet=quiet))
    for failure in found.failures:
        say(f"{failure}; its pairs are left out")
    figures = {
        "pairs": found.pairs,
        "pictures": found.pictures,
        "left_out": len(found.failures),
        "log2_prob": asdict(found.log2_prob),
        "log2_prob_per_word": asdict(found.log2_prob_per_word),
        "confidence": None if found.confidence is None else asdict(found.confidence),
        **_where(captioner),
    }
    _print(figures, json=json)
    if found.failures:
        raise Exit(ExitCode.SOME_FAILED)


def _write_captions(path: Path, data: bytes, *, new: bool) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe
        path.write_bytes(data)
        return
    with replacing(path, new=new) as file:
        file.write(data)


def _files(*places: Path) -> Iterator[Path]:
    """The files of folders, and those files that are no folder."""
    for place in places:
        yield from (each for each in place.rglob("*") if each.is_file())
        if place.is_file():
            yield place


def _where(captioner: "Captioner") -> dict[str, str]:
    return {
        "model": captioner.config.name,
        "device": str(captioner.device),
        "precision": str(captioner.precision),
    }


def _print(record: dict[str, Any], *, json: bool) -> None:
    if json:
        write_json(record)
        return
    for key, value in record.items():
        if isinstance(value, dict):
            for inner, figure in value.items():
                write(f"{key}, {inner}: {_plain(figure)}")
        else:
            write(f"{key}: {_plain(value)}")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return "  ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _command(record: dict[str, Any], data: Path) -> str:
    """The command that gives these figures, every choice spelt out."""
    words = ["mrnn-edge", "eval", "--data", data.resolve().name]
    search = ("beam", "max_words", "length_penalty", "no_repeat_ngram")
    for option in ("model", "precision", "split", *search):
        words += [f"--{option.replace('_', '-')}", f"{record[option]}"]
    return shlex.join([*words, *(["--retrieval"] if "retrieval" in record else [])])
