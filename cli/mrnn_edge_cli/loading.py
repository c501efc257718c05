"""How every command opens a model, and says where it runs."""

from typing import TYPE_CHECKING

from mrnn_edge.bundle.config import Precision
from mrnn_edge_cli.output import say

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.engine.opening import Opening


def load(
    model: str | None,
    *,
    device: str,
    precision: Precision | None,
    threads: int | None,
    quiet: bool,
    concurrency: int = 1,
) -> "Captioner":
    """Open the model; where the device was left to us, say once which it is."""
    from mrnn_edge import Captioner

    captioner = Captioner.load(
        model, device=device, precision=precision, threads=threads, concurrency=concurrency
    )
    _say_where(captioner, device, quiet=quiet)
    return captioner


def finish(opening: "Opening", *, quiet: bool) -> "Captioner":
    """Wait for a model that is being opened, and say where it runs.

    What it computes is not checked: when to do that, `caption_all` knows (bulk.py).
    """
    from mrnn_edge import Captioner

    captioner = Captioner.of(opening)
    _say_where(captioner, opening.loading.device, quiet=quiet)
    return captioner


def _say_where(captioner: "Captioner", device: str, *, quiet: bool) -> None:
    if device == "auto" and not quiet:
        say(captioner.graphs.notice or f"device {captioner.device}")
