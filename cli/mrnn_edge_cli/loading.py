"""How every command opens a model, and says where it runs."""

from typing import TYPE_CHECKING

from mrnn_edge.config import Precision
from mrnn_edge_cli.output import say

if TYPE_CHECKING:
    from mrnn_edge import Captioner


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
    if device == "auto" and not quiet:
        if captioner.graphs.notice:
            say(captioner.graphs.notice)
        say(f"device {captioner.device}")
    return captioner
