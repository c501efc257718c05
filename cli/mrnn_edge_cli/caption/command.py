"""`mrnn-edge caption`: one line, or one record, a picture."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mrnn_edge.bundle.config import Precision
from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import tokenize
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Exit, Option
from mrnn_edge_cli.loading import finish
from mrnn_edge_cli.options import to_sampling
from mrnn_edge_cli.output import say
from mrnn_edge_cli.start import collector_at_rest, one_blas_thread

if TYPE_CHECKING:
    from mrnn_edge.bulk.listing import Listed
    from mrnn_edge.engine.opening import Opening
    from mrnn_edge_cli.caption.formats import Format
    from mrnn_edge_cli.caption.output_file import Existing
    from mrnn_edge_cli.caption.sidecar import SidecarKind


def caption(
    paths: Annotated[
        list[str] | None,
        Argument(metavar="PATH", help="Pictures, folders, patterns; - is stdin."),
    ] = None,
    recursive: Annotated[
        bool, Option("--recursive", "-r", help="Take the pictures below each folder.")
    ] = False,
    ext: Annotated[
        list[str] | None,
        Option("--ext", metavar="SUFFIX", help="With -r: files of these suffixes alone."),
    ] = None,
    from_file: Annotated[
        str | None,
        Option("--from-file", metavar="FILE", help="A list of paths too; - is stdin."),
    ] = None,
    null: Annotated[
        bool, Option("--null", "-0", help="The list is of NUL-ended names, as of find.")
    ] = False,
    json: opt.Json = False,
    ndjson: Annotated[bool, Option("--ndjson", help="A JSON record a line.")] = False,
    csv: Annotated[bool, Option("--csv", help="A row a picture, for spreadsheets.")] = False,
    output: Annotated[
        Path | None,
        Option("--output", "-o", metavar="FILE", help="Write there; - is stdout."),
    ] = None,
    resume: Annotated[
        bool, Option("--resume", help="Go on with --output; do what it lacks.")
    ] = False,
    sidecar: Annotated[
        bool, Option("--sidecar", help="Write PICTURE.txt beside each picture too.")
    ] = False,
    xmp: Annotated[bool, Option("--xmp", help="Write PICTURE.xmp for photo managers too.")] = False,
    force: Annotated[
        bool, Option("--force", help="Replace outputs and sidecars that exist.")
    ] = False,
    fail_fast: Annotated[
        bool, Option("--fail-fast", help="Stop at the first picture that fails.")
    ] = False,
    allow_truncated: Annotated[
        bool, Option("--allow-truncated", help="Read pictures that are cut off, with a note.")
    ] = False,
    explain: Annotated[
        bool, Option("--explain", help="Add the confidence, and each word's share of it.")
    ] = False,
    html: Annotated[
        Path | None,
        Option("--html", metavar="FILE", help="Write a page of pictures and captions too."),
    ] = None,
    beam: opt.Beam = None,
    nbest: Annotated[
        int,
        Option("--nbest", min=1, max=100, help="Sentences a picture, in --json; widens the beam."),
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
    fails has its reason on stderr (and in records); the others go on, exit code 3. Ctrl-C finishes
    what was begun; with --output a run that was stopped goes on with --resume.
    """
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
    with collector_at_rest():
        from mrnn_edge.bulk.listing import expand_patterns

        if output is not None and str(output) == "-":
            output = None  # standard output, as it is without the option
        named = [
            *expand_patterns(paths or []),
            *_listed_in(from_file, null=null, paths=paths or []),
        ]
        left_out: list[str] = []
        files = _files(named, recursive=recursive, ext=ext, left_out=left_out)
        opening = _begin(
            len(files), model=model, device=device, precision=precision, threads=threads
        )
        # The graphs are opened beside what is imported and read from here on.
        from mrnn_edge.bulk.run import STANDARD_INPUT, read_first, read_standard_input
        from mrnn_edge_cli.caption.bulk import Places, Reading, caption_all

        alone = len(files) == 1 and output is None and files == _local(paths or [])
        form = _form(json=json, ndjson=ndjson, csv=csv, explain=explain, alone=alone, output=output)
        places = Places(
            form=form,
            output=output,
            existing=_existing(output, resume=resume, force=force, html=html),
            html=html,
            sidecars=_sidecars(files, text=sidecar, xmp=xmp),
            replace_sidecars=force,
            read=_read_files(files, from_file, opening.bundle.folder),
        )
        first = read_first(files, opening.bundle.config.image, allow_truncated=allow_truncated)
        captioner = finish(opening, quiet=quiet)
    unknown = captioner.bundle.vocabulary.lacks(tokenize(f"{prefix} {' '.join(wishes.forbid)}"))
    if unknown and not quiet:
        say(f"not in the vocabulary: {', '.join(unknown)}")
    if explain and captioner.sentences.prior is None and not quiet:
        say(f"{captioner.config.name} carries no prior, so nothing can be explained")
    reading = Reading(
        files=files,
        left_out=left_out,
        standard_input=read_standard_input() if STANDARD_INPUT in files else b"",
        first=first,
        allow_truncated=allow_truncated,
        fail_fast=fail_fast,
    )
    code = caption_all(captioner, reading, wishes, places, quiet=quiet)
    if code:
        raise Exit(code)


def _begin(
    files: int,
    *,
    model: str | None,
    device: str,
    precision: Precision | None,
    threads: int | None,
) -> "Opening":
    """Begin to open the model for so many pictures."""
    with one_blas_thread():  # captions multiply no matrices of numpy's
        from mrnn_edge.engine.opening import begin

        concurrency = 1
        if files > 1:
            from mrnn_edge.bulk.run import calls_at_once

            concurrency = calls_at_once(files)
        return begin(
            model, device=device, precision=precision, threads=threads, concurrency=concurrency
        )


def _listed_in(from_file: str | None, *, null: bool, paths: Sequence[str]) -> list[str]:
    """The paths of the list, if one was named."""
    if from_file is None:
        if null:
            raise OptionError("-0 goes with --from-file; name a list")
        return []
    from mrnn_edge.bulk.names import read_names
    from mrnn_edge.bulk.run import STANDARD_INPUT
    from mrnn_edge.files import local_path

    on_stdin = from_file == STANDARD_INPUT
    try:
        from_file = local_path(from_file)
        # A list may be long, or a pipe: all of it is read.
        with open(0 if on_stdin else from_file, "rb", closefd=not on_stdin) as file:
            data = file.read()
    except (FileError, OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise OptionError(f"--from-file: the list cannot be read ({error})") from None
    try:
        names = read_names(data, nul_ended=null)
    except OptionError as error:
        raise OptionError(f"--from-file {from_file}: {error}") from None
    if on_stdin and STANDARD_INPUT in (*paths, *names):
        raise OptionError("- is the list and a picture; standard input can be one of them")
    return names


def _files(
    named: Sequence[str], *, recursive: bool, ext: Sequence[str] | None, left_out: list[str]
) -> "list[Listed]":
    from mrnn_edge.bulk.listing import list_files
    from mrnn_edge.bulk.names import parse_suffixes
    from mrnn_edge.image.formats import SUFFIXES

    if ext and not recursive:
        raise OptionError("--ext chooses within folders, so it goes with -r; add -r")
    if not named:
        raise OptionError("no picture was named; give paths, a folder with -r, or --from-file")
    suffixes = parse_suffixes(ext) if ext else SUFFIXES
    files = list(list_files(named, recursive=recursive, suffixes=suffixes, left_out=left_out))
    if not files:
        debris = f" ({len(left_out)} left out as debris)" if left_out else ""
        raise OptionError(
            f"no picture in {', '.join(named)}{debris}; looked for {' '.join(sorted(suffixes))}"
        )
    return files


def _form(
    *, json: bool, ndjson: bool, csv: bool, explain: bool, alone: bool, output: Path | None
) -> "Format":
    from mrnn_edge_cli.caption.formats import Csv, Json, Ndjson, Text
    from mrnn_edge_cli.explain import has_colours

    forms: dict[str, Format] = {}
    if json:
        forms["--json"] = Json()
    if ndjson:
        forms["--ndjson"] = Ndjson()
    if csv:
        forms["--csv"] = Csv()
    if explain or not forms:
        coloured = output is None and has_colours()
        forms["--explain"] = Text(alone=alone, explain=explain, coloured=coloured)
    if len(forms) > 1:
        raise OptionError(f"{' and '.join(forms)} are ways to write; give one of them")
    (form,) = forms.values()
    return form


def _existing(output: Path | None, *, resume: bool, force: bool, html: Path | None) -> "Existing":
    from mrnn_edge_cli.caption.output_file import Existing

    if not resume:
        return Existing.REPLACE if force else Existing.REFUSE
    if output is None:
        raise OptionError("--resume goes on with an output; name it with --output")
    if html is not None:
        raise OptionError("--html shows the pictures of one run; leave it or --resume out")
    return Existing.RESUME


def _local(paths: Sequence[str]) -> list[str]:
    """The paths as `list_files` names them."""
    from mrnn_edge.files import local_path

    with suppress(FileError):
        return [local_path(path) for path in paths]
    return []


def _read_files(files: "Sequence[Listed]", from_file: str | None, model: Path) -> "list[str]":
    """What the run reads, none of which it may replace."""
    listed = [each for each in files if isinstance(each, str)]
    if "-" in (*listed, from_file):
        listed.append("/dev/fd/0")  # a file that standard input was redirected from
    return [*listed, *filter(None, (from_file,)), *(str(each) for each in model.iterdir())]


def _sidecars(files: "Sequence[Listed]", *, text: bool, xmp: bool) -> "list[SidecarKind]":
    if not text and not xmp:
        return []
    from mrnn_edge.bulk.run import STANDARD_INPUT
    from mrnn_edge_cli.caption.sidecar import SidecarKind

    if STANDARD_INPUT in files:
        raise OptionError("standard input has no place beside it; leave the sidecars or - out")
    wanted = ((SidecarKind.TEXT, text), (SidecarKind.XMP, xmp))
    return [kind for kind, chosen in wanted if chosen]
