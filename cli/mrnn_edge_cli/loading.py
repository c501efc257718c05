"""How every command opens a model, and reports the device it runs on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.output import say

if TYPE_CHECKING:
    from mrnn_edge import Captioner
    from mrnn_edge.engine.opening import Opening


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """The model that a command opens, and how."""

    model: opt.Model = None
    device: opt.Device = "auto"
    precision: opt.PrecisionOption = None
    threads: opt.Threads = None
    quiet: opt.Quiet = False


Loading = Annotated[LoadOptions, opt.Group(LoadOptions)]
"""A parameter of a command that opens a model."""


def load(options: LoadOptions) -> "Captioner":
    """Open the model; if the device was `auto`, print the one chosen, once."""
    from mrnn_edge import Captioner

    return _reported(Captioner.load(options.model, **_placement(options)), options)


def begin(options: LoadOptions, *, concurrency: int) -> "Opening":
    """Start to open the model in threads; `finish` waits for it."""
    from mrnn_edge.engine import opening

    return opening.begin(options.model, **_placement(options), concurrency=concurrency)


def finish(opening: "Opening", options: LoadOptions) -> "Captioner":
    """Wait for a model that is being opened, and report its device.

    Its weights are not checked yet: `caption_all` chooses the time for that (caption/bulk.py).
    """
    from mrnn_edge import Captioner

    return _reported(Captioner.of(opening), options)


def _placement(options: LoadOptions) -> dict[str, Any]:
    return {each: getattr(options, each) for each in ("device", "precision", "threads")}


def _reported(captioner: "Captioner", options: LoadOptions) -> "Captioner":
    if options.device == "auto" and not options.quiet:
        say(captioner.graphs.notice or f"device {captioner.device}")
    return captioner
