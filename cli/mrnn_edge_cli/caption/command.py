"""`mrnn-edge caption`: one line, or one record, per picture."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.options import DecodeOptions
from mrnn_edge.vocab import tokenize
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.loading import Loading, LoadOptions, begin, finish
from mrnn_edge_cli.output import say
from mrnn_edge_cli.start import collector_at_rest, one_blas_thread

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.bulk.listing import Listed
    from mrnn_edge.engine.opening import Opening
    from mrnn_edge_cli.caption.bulk import Places, Reading
    from mrnn_edge_cli.caption.output_formats import Format
    from mrnn_edge_cli.caption.sidecar import SidecarKind

INPUT = "Input"


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The pictures to read, as the command line names them."""

    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Pictures, folders, patterns; - is stdin."),
    ] = None
    recursive: Annotated[
        bool, opt.under(INPUT, "--recursive", "-r", help="Include all pictures below folders.")
    ] = False
    ext: Annotated[
        list[str] | None,
        opt.under(INPUT, "--ext", metavar="SUFFIX", help="With -r: only these suffixes."),
    ] = None
    from_file: Annotated[
        str | None,
        opt.under(
            INPUT, "--from-file", metavar="FILE", help="Read more paths from a list; - is stdin."
        ),
    ] = None
    null: Annotated[
        bool,
        opt.under(INPUT, "--null", "-0", help="The list is NUL-separated, as by find -print0."),
    ] = False
    fail_fast: Annotated[
        bool, opt.under(INPUT, "--fail-fast", help="Stop at the first picture that fails.")
    ] = False
    allow_truncated: Annotated[
        bool,
        opt.under(INPUT, "--allow-truncated", help="Caption incomplete pictures, with a note."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """The outputs, as the command line names them."""

    json: opt.Json = False
    ndjson: opt.Ndjson = False
    csv: Annotated[
        bool, opt.under(opt.OUTPUT, "--csv", help="One row per picture, for spreadsheets.")
    ] = False
    explain: opt.Explain = False
    output: Annotated[
        Path | None,
        opt.path_option(
            "--output", "-o", help="Write to this file; - is stdout.", panel=opt.OUTPUT
        ),
    ] = None
    resume: Annotated[
        bool,
        opt.under(opt.OUTPUT, "--resume", help="Continue --output: caption only what it lacks."),
    ] = False
    sidecar: Annotated[
        bool, opt.under(opt.OUTPUT, "--sidecar", help="Write PICTURE.txt beside each picture too.")
    ] = False
    xmp: Annotated[
        bool, opt.under(opt.OUTPUT, "--xmp", help="Write PICTURE.xmp for photo managers too.")
    ] = False
    html: opt.Html = None
    force: opt.Force = False

    @property
    def file(self) -> Path | None:
        """The file of --output; None: standard output."""
        return None if str(self.output) == "-" else self.output


def caption(
    chosen: Annotated[_Chosen, opt.Group(_Chosen)],
    wanted: Annotated[_Wanted, opt.Group(_Wanted)],
    decoding: opt.Decoding,
    loading: Loading,
) -> None:
    """Describe pictures in one sentence each.

    One picture prints its caption alone; several, or a folder, print PATH<TAB>caption. If a picture
    fails, the reason goes to stderr (and to records), the rest continues, and the exit code is 3.
    Ctrl-C finishes the pictures in progress; --resume continues a stopped run of --output.
    """
    captioner, reading, places = _open(loading, chosen, wanted)
    if not loading.quiet:
        _note_unknown(captioner, decoding, explain=wanted.explain)
    from mrnn_edge_cli.caption.bulk import caption_all

    if code := caption_all(captioner, reading, decoding, places, quiet=loading.quiet):
        raise typer.Exit(code)


def _open(
    loading: LoadOptions, chosen: _Chosen, wanted: _Wanted
) -> "tuple[Captioner, Reading, Places]":
    """Open the model; meanwhile import what captions need, and read the first picture."""
    with collector_at_rest():
        left_out: list[str] = []
        files = _files(chosen, left_out)
        opening = _begin(loading, len(files))
        from mrnn_edge.bulk.run import STANDARD_INPUT, read_first, read_standard_input
        from mrnn_edge_cli.caption.bulk import Places, Reading
        from mrnn_edge_cli.caption.output_file import Existing

        _check_resume(wanted)
        new = Existing.REPLACE if wanted.force else Existing.REFUSE
        alone = len(files) == 1 and wanted.file is None and files == _local(chosen.paths or ())
        places = Places(
            form=_format(wanted, alone=alone),
            output=wanted.file,
            existing=Existing.RESUME if wanted.resume else new,
            html=wanted.html,
            sidecars=_sidecars(files, wanted),
            replace_sidecars=wanted.force,
            read=_read_files(files, chosen.from_file, opening.bundle.folder),
        )
        truncated = chosen.allow_truncated
        first = read_first(files, opening.bundle.config.image, allow_truncated=truncated)
        captioner = finish(opening, loading)
    reading = Reading(
        files=files,
        left_out=left_out,
        standard_input=read_standard_input() if STANDARD_INPUT in files else b"",
        first=first,
        allow_truncated=truncated,
        fail_fast=chosen.fail_fast,
    )
    return captioner, reading, places


def _begin(loading: LoadOptions, files: int) -> "Opening":
    """Start to open the model for this number of pictures."""
    with one_blas_thread():  # captions multiply no matrices with numpy
        if files == 1:
            return begin(loading, concurrency=1)
        from mrnn_edge.bulk.run import calls_at_once

        return begin(loading, concurrency=calls_at_once(files))


def _note_unknown(captioner: "Captioner", decoding: DecodeOptions, *, explain: bool) -> None:
    """Say which requests this model cannot fulfil."""
    words = tokenize(f"{decoding.prefix} {' '.join(decoding.forbid)}")
    if unknown := captioner.bundle.vocabulary.lacks(words):
        say(f"not in the vocabulary: {', '.join(unknown)}")
    if explain and captioner.sentences.prior is None:
        say(f"{captioner.config.name} has no prior, so --explain has no figures to show")


def _files(chosen: _Chosen, left_out: list[str]) -> "list[Listed]":
    """The files to caption; debris of folders is added to `left_out`."""
    from mrnn_edge.bulk.listing import expand_patterns, list_files
    from mrnn_edge.image.formats import SUFFIXES

    named = [*expand_patterns(chosen.paths or ()), *_listed_in(chosen)]
    if chosen.ext and not chosen.recursive:
        raise OptionError("--ext selects files in folders, so it needs -r; add -r")
    if not named:
        raise OptionError("no picture was named; give paths, a folder with -r, or --from-file")
    suffixes = SUFFIXES
    if chosen.ext:
        from mrnn_edge.bulk.names import parse_suffixes

        suffixes = parse_suffixes(chosen.ext)
    recursive = chosen.recursive
    files = list(list_files(named, recursive=recursive, suffixes=suffixes, left_out=left_out))
    if not files:
        debris = f" ({len(left_out)} left out as debris)" if left_out else ""
        raise OptionError(
            f"no picture in {', '.join(named)}{debris}; looked for {' '.join(sorted(suffixes))}"
        )
    return files


def _listed_in(chosen: _Chosen) -> list[str]:
    """The paths of the list, if one was named."""
    from_file = chosen.from_file
    if from_file is None:
        if chosen.null:
            raise OptionError("-0 goes with --from-file; name a list")
        return []
    from mrnn_edge.bulk.names import read_names
    from mrnn_edge.bulk.run import STANDARD_INPUT
    from mrnn_edge.paths import local_path

    on_stdin = from_file == STANDARD_INPUT
    try:
        from_file = local_path(from_file)
        # A list may be long, or a pipe: all of it is read.
        with open(0 if on_stdin else from_file, "rb", closefd=not on_stdin) as file:
            data = file.read()
    except (FileError, OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise OptionError(f"--from-file: the list cannot be read ({error})") from None
    try:
        names = read_names(data, nul_ended=chosen.null)
    except OptionError as error:
        raise OptionError(f"--from-file {from_file}: {error}") from None
    if on_stdin and STANDARD_INPUT in (*(chosen.paths or ()), *names):
        raise OptionError("- is the list and a picture; standard input can be one of them")
    return names


def _format(wanted: _Wanted, *, alone: bool) -> "Format":
    from mrnn_edge_cli.caption.output_formats import Csv, Json, Ndjson, Text
    from mrnn_edge_cli.explain import has_colours

    formats: dict[str, Format] = {}
    if wanted.json:
        formats["--json"] = Json()
    if wanted.ndjson:
        formats["--ndjson"] = Ndjson()
    if wanted.csv:
        formats["--csv"] = Csv()
    if wanted.explain or not formats:
        coloured = wanted.file is None and has_colours()
        formats["--explain"] = Text(alone=alone, explain=wanted.explain, coloured=coloured)
    if len(formats) > 1:
        raise OptionError(f"{' and '.join(formats)} are different formats; give one of them")
    (chosen,) = formats.values()
    return chosen


def _check_resume(wanted: _Wanted) -> None:
    if not wanted.resume:
        return
    if wanted.file is None:
        raise OptionError("--resume continues an output; name it with --output")
    if wanted.html is not None:
        raise OptionError("--html shows the pictures of one run; leave out --html or --resume")


def _local(paths: Sequence[str]) -> list[str]:
    """The paths as `list_files` names them."""
    from mrnn_edge.paths import local_path

    with suppress(FileError):
        return [local_path(path) for path in paths]
    return []


def _read_files(files: "Sequence[Listed]", from_file: str | None, model: Path) -> "list[str]":
    """What the run reads, and therefore never replaces."""
    listed = [each for each in files if isinstance(each, str)]
    if "-" in (*listed, from_file):
        listed.append("/dev/fd/0")  # a file that standard input was redirected from
    return [*listed, *filter(None, (from_file,)), *(str(each) for each in model.iterdir())]


def _sidecars(files: "Sequence[Listed]", wanted: _Wanted) -> "list[SidecarKind]":
    if not (wanted.sidecar or wanted.xmp):
        return []
    from mrnn_edge.bulk.run import STANDARD_INPUT
    from mrnn_edge_cli.caption.sidecar import SidecarKind

    if STANDARD_INPUT in files:
        raise OptionError("standard input can have no sidecar; leave out the sidecars or -")
    kinds = ((SidecarKind.TEXT, wanted.sidecar), (SidecarKind.XMP, wanted.xmp))
    return [kind for kind, chosen in kinds if chosen]
