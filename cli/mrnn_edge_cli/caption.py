"""`mrnn-edge caption`: one line, or one record, a picture."""

from typing import Annotated

import typer

from mrnn_edge.config import DecodeOptions
from mrnn_edge.errors import InputError, OptionError
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import say, shown, write, write_json


def caption(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH", help="Pictures, or folders; - is stdin.")
    ],
    recursive: Annotated[
        bool, typer.Option("--recursive", "-r", help="Take the pictures below each folder.")
    ] = False,
    json: opt.Json = False,
    beam: opt.Beam = opt.BEAM,
    nbest: Annotated[
        int,
        typer.Option(
            "--nbest", min=1, max=100, help="Sentences a picture, in --json; widens the beam."
        ),
    ] = DecodeOptions.nbest,
    max_words: opt.MaxWords = opt.MAX_WORDS,
    length_penalty: opt.LengthPenalty = None,
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
    wishes = DecodeOptions(
        beam=beam, nbest=nbest, max_words=max_words, length_penalty=length_penalty
    )
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    from mrnn_edge.image import SUFFIXES
    from mrnn_edge.pipeline import caption_files, list_files

    files = list(list_files(paths, recursive=recursive))
    failed = 0
    records = []
    if not files:
        raise OptionError(
            f"no picture in {', '.join(paths)}; looked for {' '.join(sorted(SUFFIXES))}"
        )
    alone = files == paths and len(files) == 1
    for outcome in caption_files(captioner, files, wishes):
        if outcome.failure:
            failed += 1
            say(outcome.failure)
        if json:
            records.append(outcome.to_record())
        elif not isinstance(outcome.result, InputError):
            write(outcome.result.text if alone else f"{shown(outcome.file)}\t{outcome.result.text}")
    if json:
        write_json(records)
    if failed:
        raise typer.Exit(ExitCode.SOME_FAILED)
