"""`mrnn-edge index`: the pictures of a folder as vectors, in one file to search."""

from pathlib import Path
from typing import Annotated

from mrnn_edge.errors import FileError, OptionError
from mrnn_edge.files import local_path
from mrnn_edge_cli import options as opt
from mrnn_edge_cli.arguments import Argument, Exit, Option
from mrnn_edge_cli.caption.bulk import said_left_out
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import load
from mrnn_edge_cli.output import Progress, one_line, say, write, write_json
from mrnn_edge_cli.outputs import check_outputs, model_files


def index(
    folder: Annotated[str, Argument(metavar="FOLDER", help="The pictures below it are indexed.")],
    out: Annotated[
        Path,
        Option("--output", "-o", metavar="FILE", help="The index; made, or brought up to date."),
    ],
    force: opt.Force = False,
    json: opt.Json = False,
    model: opt.Model = None,
    device: opt.Device = "auto",
    precision: opt.PrecisionOption = None,
    threads: opt.Threads = None,
    quiet: opt.Quiet = False,
) -> None:
    """Index the pictures of a folder, for `mrnn-edge search`.

    A second run encodes what is new or changed and nothing else. A picture that cannot be read is
    left out, its reason on stderr, exit code 3. The index is replaced when the new one is whole;
    another file that stands there only with --force.
    """
    folder = _folder(folder)
    # What exists and is no index of this model is refused where it is read; so is a picture.
    check_outputs({"--output": out}, sources=model_files(model), force=force, resumed=("--output",))
    captioner = load(model, device=device, precision=precision, threads=threads, quiet=quiet)
    from mrnn_edge.index.index import Index

    built = Index.build(captioner, folder, out, replace=force, track=Progress(quiet=quiet))
    changes = built.changes
    for failure in changes.failures:
        say(failure.failure or failure.file)
    if changes.left_out and not quiet:
        say(said_left_out(changes.left_out))
    if json:
        write_json(
            {
                "index": str(out),
                "folder": built.folder,
                "pictures": len(built),
                "encoded": changes.encoded,
                "kept": changes.kept,
                "gone": changes.gone,
                "left_out": len(changes.left_out),
                "failures": [failure.to_record() for failure in changes.failures],
            }
        )
    else:
        write(
            f"{one_line(str(out))}: {len(built):,} pictures, {changes.encoded:,} encoded, "
            f"{changes.kept:,} kept, {changes.gone:,} gone"
        )
    if changes.failures:
        raise Exit(ExitCode.SOME_FAILED)


def _folder(name: str) -> str:
    try:
        return local_path(name)
    except FileError as error:
        raise OptionError(str(error)) from None
