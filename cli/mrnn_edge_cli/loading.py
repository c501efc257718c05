"""How every command opens a model, and reports the device it runs on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mrnn_edge.bundle.config import Precision
from mrnn_edge_cli.output import say

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.engine.opening import Opening


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The model that a command opens, and how."""

    model: str | None = None
    """A name or a folder; None: the default one."""
    device: str = "auto"
    precision: Precision | None = None
    """None: the model's own."""
    threads: int | None = None
    """None: one per available core."""
    quiet: bool = False
    """Do not report the device."""


def load(options: LoadOptions) -> "Captioner":
    """Open the model; if the device was `auto`, print the one chosen, once."""
    from mrnn_edge import Captioner

    captioner = Captioner.load(
        options.model,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )
    _report_device(captioner, options)
    return captioner


def begin(options: LoadOptions, *, concurrency: int) -> "Opening":
    """Start to open the model in threads; `finish` waits for it."""
    from mrnn_edge.engine import opening

    return opening.begin(
        options.model,
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        concurrency=concurrency,
    )


def finish(opening: "Opening", options: LoadOptions) -> "Captioner":
    """Wait for a model that is being opened, and report its device.

    Its weights are not checked yet: `caption_all` chooses the time for that (caption/bulk.py).
    """
    from mrnn_edge import Captioner

    captioner = Captioner.of(opening)
    _report_device(captioner, options)
    return captioner


def _report_device(captioner: "Captioner", options: LoadOptions) -> None:
    if options.device == "auto" and not options.quiet:
        say(captioner.graphs.notice or f"device {captioner.device}")
