"""`mrnn-edge eval`: figures of a model on a split of a data set."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mrnn_edge.bundle.folder import load_bundle
from mrnn_edge.errors import OptionError
from mrnn_edge.options import DecodeOptions, Prior
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.extras import need
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import Loading, LoadOptions, load
from mrnn_edge_cli.output import Progress, say, write, write_json
from mrnn_edge_train.data.common import Split
from mrnn_edge_train.data.datasets import read_sentences, read_split
from mrnn_edge_train.data.mixture import name_of

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge_train.data.common import CaptionedImage
    from mrnn_edge_train.evaluation.evaluate import Choice, Evaluation

CONSENSUS = "Consensus"


@dataclass(frozen=True, kw_only=True)
class _Data:
    """What a model is measured on, as the command line names it."""

    data: Annotated[
        Path | None, opt.path_option("--data", metavar="PATH", help="Data set, as for `train`.")
    ] = None
    split: Annotated[Split, typer.Option("--split", help="Tune on dev; test is for reports.")] = (
        Split.DEV
    )
    retrieval: Annotated[
        bool, typer.Option("--retrieval", help="Measure retrieval too, in both directions.")
    ] = False
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Measure what the confidence is worth too.")
    ] = False

    @property
    def folder(self) -> Path:
        """The data set. Raises OptionError if none was given."""
        if self.data is None:
            raise OptionError("give --data with a data set, or --pairs with a file of graded pairs")
        return self.data


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """Where the figures and captions go, as the command line names it."""

    json: opt.Json = False
    captions: Annotated[
        Path | None,
        opt.path_option("--captions", help="Write NAME<TAB>caption to a file.", panel=opt.OUTPUT),
    ] = None
    diagram: Annotated[
        Path | None,
        opt.path_option(
            "--diagram", help="With --confidence: write its diagram, an SVG.", panel=opt.OUTPUT
        ),
    ] = None
    force: opt.Force = False
    save: Annotated[
        bool,
        opt.under(
            opt.OUTPUT, "--save", help="Store the figures in metrics.json and the model card."
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class _Consensus:
    """The size of a re-ranking; the defaults are the authors', for MS COCO (consensus.py)."""

    nbest: int
    neighbours: int
    similarities: int


def _consensus(
    *,
    consensus: Annotated[
        bool,
        opt.under(
            CONSENSUS,
            "--consensus",
            help="Choose the candidate closest to similar training pictures.",
        ),
    ] = False,
    nbest: Annotated[
        int | None, opt.under(CONSENSUS, "--nbest", min=1, help="Candidates per picture. [10]")
    ] = None,
    neighbours: Annotated[
        int | None,
        opt.under(CONSENSUS, "--neighbours", min=1, help="Similar training pictures. [60]"),
    ] = None,
    similarities: Annotated[
        int | None,
        opt.under(CONSENSUS, "--similarities", min=1, help="Best similarities that count. [125]"),
    ] = None,
) -> _Consensus | None:
    if not consensus:
        if (nbest, neighbours, similarities) != (None,) * 3:
            raise OptionError(
                "--nbest, --neighbours and --similarities go with --consensus; add it"
            )
        return None
    return _Consensus(
        nbest=nbest or 10, neighbours=neighbours or 60, similarities=similarities or 125
    )


def evaluate(
    *,
    data: Annotated[_Data, opt.Group(_Data)],
    pairs: Annotated[
        Path | None,
        opt.path_option(
            "--pairs", help="Instead of --data: PICTURE<TAB>SENTENCE<TAB>GRADE, graded by people."
        ),
    ] = None,
    prior: opt.PriorOption = None,
    wanted: Annotated[_Wanted, opt.Group(_Wanted)],
    beam: opt.Beam = None,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
    no_repeat_ngram: opt.NoRepeatNgram = opt.NO_REPEAT_NGRAM,
    consensus: Annotated[_Consensus | None, opt.Group(_consensus)],
    loading: Loading,
) -> None:
    """Measure a model: perplexity, BLEU-1..4, ROUGE-L, CIDEr, and METEOR if Java is installed.

    --retrieval adds the paper's recalls and median ranks, --confidence how well the confidence says
    which captions are right; --pairs measures how the model's scores agree with people's grades, as
    Kendall's tau.
    """
    decoding = DecodeOptions(
        beam=beam,
        nbest=consensus.nbest if consensus else 1,
        max_words=max_words,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
    )
    if pairs is not None:
        other = (data, decoding, consensus) != (_Data(), DecodeOptions(), None)
        if other or wanted.save or wanted.captions or wanted.diagram:
            raise OptionError("--pairs goes with --prior alone; leave out the other options")
        _agreement(loading, pairs, prior, json=wanted.json)
        return
    folder = data.folder
    if prior is not None:
        raise OptionError("--prior goes with --pairs; --retrieval measures every prior")
    if wanted.diagram and not data.confidence:
        raise OptionError("--diagram goes with --confidence; add it")
    if data.confidence and consensus:
        raise OptionError("--confidence is that of the search's own caption; leave --consensus out")
    if consensus and wanted.save:
        raise OptionError("--consensus needs the training captions; leave --save out")
    need("cpu,eval", "onnxruntime", "pycocoevalcap")
    from mrnn_edge_cli.outputs import check_outputs, model_files

    read = [*_files(folder), *model_files(loading.model)]
    outputs = {"--captions": wanted.captions, "--diagram": wanted.diagram}
    check_outputs(outputs, sources=read, force=wanted.force)
    if wanted.save:
        from mrnn_edge_export.card import check_card

        check_card(load_bundle(loading.model))
    _measure(loading, data, decoding, consensus, wanted)


def _measure(
    loading: LoadOptions,
    data: _Data,
    decoding: DecodeOptions,
    consensus: _Consensus | None,
    wanted: _Wanted,
) -> None:
    from mrnn_edge_train.evaluation.evaluate import evaluate as measure
    from mrnn_edge_train.evaluation.evaluate import image_vectors

    images = read_split(data.folder, data.split)
    known = read_sentences(data.folder, Split.TRAIN)
    captioner = load(loading)
    track = Progress(quiet=loading.quiet)
    vectors = image_vectors(captioner, images, track=track)
    choose = _choice(captioner, data.folder, consensus, track)
    found = measure(captioner, images, vectors, known, decoding, choose=choose, track=track)
    penalty = decoding.length_penalty
    record: dict[str, Any] = {
        "data": name_of(data.folder),
        "split": str(data.split),
        **found.to_record(),
        "vocabulary": len(captioner.bundle.vocabulary),
        "beam": decoding.width,
        "max_words": decoding.max_words,
        "length_penalty": captioner.config.decoding.length_penalty if penalty is None else penalty,
        "no_repeat_ngram": decoding.no_repeat_ngram,
        **({"consensus": asdict(consensus)} if consensus else {}),
        **_where(captioner),
    }
    if data.retrieval:
        from mrnn_edge_train.evaluation.retrieval import evaluate_retrieval

        texts = [text for _, text in found.captions]
        ranked = evaluate_retrieval(captioner, images, vectors, texts, track=track)
        record["retrieval"] = ranked.to_record()
    diagram = None
    if data.confidence:
        record["confidence"], diagram = _trust(found, images, captioner.config.name)
    from mrnn_edge_cli.outputs import open_whole

    # The figures come first: they took a while, and what follows can fail.
    _print(record, json=wanted.json)
    if wanted.captions is not None:
        lines = "".join(f"{name}\t{text}\n" for name, text in found.captions)
        with open_whole(wanted.captions, new=not wanted.force) as file:
            file.write(lines.encode())
    if wanted.diagram is not None and diagram is not None:
        with open_whole(wanted.diagram, new=not wanted.force) as file:
            file.write(diagram.encode())
    if wanted.save:
        from mrnn_edge_export.card import save_evaluation

        save_evaluation(captioner.bundle, {**record, "command": _command(record, data.folder)})
        if not loading.quiet:
            say(f"figures of {data.split} stored in {captioner.bundle.folder}")


def _trust(
    found: "Evaluation", images: "Sequence[CaptionedImage]", model: str
) -> tuple[dict[str, Any], str]:
    """The figures of the confidence, and their diagram. Raises OptionError without a confidence."""
    from mrnn_edge_cli.diagram import reliability_svg
    from mrnn_edge_train.evaluation.trust import measure_trust

    if not found.confidences:
        raise OptionError(f"{model} gives no confidence; leave --confidence out")
    captions = [text.split() for _, text in found.captions]
    references = [image.sentences for image in images]
    figures, correlation = measure_trust(found.confidences, captions, references)
    record = {**figures.to_record(), "cider_correlation": correlation}
    return record, reliability_svg(figures, f"{model}: confidence on {figures.captions:,} captions")


def _choice(
    captioner: "Captioner", data: Path, consensus: _Consensus | None, track: Progress
) -> "Choice":
    """How one of the n best captions is chosen."""
    from mrnn_edge_train.evaluation.evaluate import first, image_vectors

    if consensus is None:
        return first
    from mrnn_edge_train.evaluation.consensus import Consensus

    images = read_split(data, Split.TRAIN)
    return Consensus(
        images,
        image_vectors(captioner, images, track=track),
        neighbours=consensus.neighbours,
        similarities=consensus.similarities,
    ).choose


def _agreement(loading: LoadOptions, path: Path, prior: Prior | None, *, json: bool) -> None:
    """Print how the model's scores agree with people's grades."""
    need("cpu,eval", "onnxruntime", "scipy")
    captioner = load(loading)
    from mrnn_edge_train.evaluation.agreement import agree, read_pairs

    track = Progress(quiet=loading.quiet)
    found = agree(captioner, read_pairs(path), prior=prior, track=track)
    for failure in found.failures:
        say(f"{failure}; its pairs are skipped")
    figures = {
        "pairs": found.pairs,
        "pictures": found.pictures,
        "left_out": len(found.failures),
        "log2_prob": asdict(found.log2_prob),
        "log2_prob_per_word": asdict(found.log2_prob_per_word),
        "evidence": None if found.evidence is None else asdict(found.evidence),
        "score": None if found.score is None else asdict(found.score),
        **_where(captioner),
    }
    _print(figures, json=json)
    if found.failures:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _files(data: Path) -> list[Path]:
    """The files of a data set, which may be one file."""
    return [each for each in (data, *data.rglob("*")) if each.is_file()]


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
    """The command that gives these figures, with every option spelt out."""
    words = ["mrnn-edge", "eval", "--data", data.resolve().name]
    search = ("beam", "max_words", "length_penalty", "no_repeat_ngram")
    for option in ("model", "precision", "split", *search):
        words += [f"--{option.replace('_', '-')}", f"{record[option]}"]
    return shlex.join([*words, *(["--retrieval"] if "retrieval" in record else [])])
