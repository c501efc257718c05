"""`mrnn-edge caption`: one line, or one record, a picture."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrnn_edge.config import DecodeOptions
from mrnn_edge.errors import OptionError
from mrnn_edge.vocab import tokenize
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.options import to_sampling
from mrnn_edge_cli.output import one_line, say, write, write_json

if TYPE_CHECKING:
    from mrnn_edge import Caption


def caption(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Pictures, or folders; - is stdin.")
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the pictures below each folder.")
    ] = False,
    json: opt.Json = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add the confidence, and each word's share of it.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page of pictures and captions too."),
    ] = None,
    beam: opt.Beam = None,
    nbest: Annotated[
        int,
        typer.Option(
            "--nbest", min=1, max=100, help="Sentences a picture, in --json; widens the beam."
        ),
    ] = DecodeOptions.nbest,
    sample: opt.Sample = False,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    seed: opt.Seed = None,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
    prefix: opt.Prefix = "",
    no_repeat_ngram: opt.NoRepeatNgram = 0,
    forbid: opt.Forbid = None,
    require: opt.Require = None,
    min_confidence: opt.MinConfidence = None,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Describe pictures in one sentence each.

    One picture gives its caption alone; more, or a folder, give PATH<TAB>caption. A picture that
    fails has its reason on stderr (and in --json its record); the others go on, exit code 3.
    """
    if explain and json:
        raise OptionError("--json holds what --explain shows; give one of them")
    wishes = DecodeOptions(
        beam=beam,
        nbest=nbest,
        sampling=to_sampling(sample, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed),
        max_words=max_words,
        length_penalty=length_penalty,
        prefix=prefix,
        no_repeat_ngram=no_repeat_ngram,
        forbid=tuple(forbid or ()),
        require=tuple(require or ()),
        min_confidence=min_confidence,
    )
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    from mrnn_edge import Caption
    from mrnn_edge.formats import SUFFIXES
    from mrnn_edge.pipeline import caption_files, list_files

    unknown = captioner.bundle.vocabulary.lacks(tokenize(f"{prefix} {' '.join(wishes.forbid)}"))
    if unknown and not quiet:
        say(f"not in the vocabulary: {', '.join(unknown)}")
    if explain and captioner.sentences.prior is None and not quiet:
        say(f"{captioner.config.name} carries no prior, so nothing can be explained")
    files = list(list_files(paths, recursive=recursive))
    failed = 0
    records = []
    if not files:
        raise OptionError(
            f"no picture in {', '.join(paths)}; looked for {' '.join(sorted(SUFFIXES))}"
        )
    alone = files == paths and len(files) == 1
    with contextlib.ExitStack() as stack:
        page = None
        if html is not None:
            from mrnn_edge_cli.page import Page

            page = stack.enter_context(Page.at(html))
        for outcome in caption_files(captioner, files, wishes):
            if outcome.failure:
                failed += 1
                say(outcome.failure)
            if page is not None:
                page.add(outcome)
            if json:
                records.append(outcome.to_record())
            elif isinstance(outcome.result, Caption):
                line = _line(outcome.result, explain=explain)
                write(line if alone else f"{one_line(outcome.file)}\t{line}")
    if json:
        write_json(records)
    if failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _line(caption: "Caption", *, explain: bool) -> str:
    from mrnn_edge_cli.explain import bits, explained

    text = "not sure" if caption.text is None else caption.text
    if not explain:
        return text
    return f"{text}\t{bits(caption.confidence)} bits\t{explained(caption.words)}".rstrip("\t")
