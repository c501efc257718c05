"""`mrnn-edge index`: the pictures of a folder as vectors, in one file to search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.caption.bulk import describe_left_out
from mrnn_edge_cli.failures import ExitCode
from mrnn_edge_cli.loading import Loading, load
from mrnn_edge_cli.output import Progress, one_line, say, write, write_json
from mrnn_edge_cli.outputs import check_outputs, model_files

if TYPE_CHECKING:
    from mrnn_edge.index.index import Index


def index(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Index all pictures below it.", parser=opt.to_path),
    ],
    out: Annotated[Path, opt.path_option("--output", "-o", help="The index; created or updated.")],
    force: opt.Force = False,
    json: opt.Json = False,
    *,
    loading: Loading,
) -> None:
    """Index the pictures of a folder, for `mrnn-edge search`.

    A second run encodes only new and changed pictures. A picture that cannot be read is left out:
    its reason goes to stderr, the exit code is 3. An old index is replaced once the new one is
    complete, any other file only with --force.
    """
    # Index.build refuses a file that is no index of this model, and a picture of the folder.
    check_outputs(
        {"--output": out}, sources=model_files(loading.model), force=force, resumed=("--output",)
    )
    captioner = load(loading)
    from mrnn_edge.index.index import Index

    built = Index.build(
        captioner, str(folder), out, replace=force, track=Progress(quiet=loading.quiet)
    )
    changes = built.changes
    for failure in changes.failures:
        say(failure.failure or failure.file)
    if changes.left_out and not loading.quiet:
        say(describe_left_out(changes.left_out))
    _print(built, out, json=json)
    if changes.failures:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _print(built: "Index", out: Path, *, json: bool) -> None:
    changes = built.changes
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
