"""Model folders: every file against its hash, then one caption of a grey picture."""

import os
from collections.abc import Iterator

from mrnn_edge.bundle.config import GraphRole
from mrnn_edge.bundle.folder import Bundle, load_bundle, shipped_models
from mrnn_edge.engine.device import Device
from mrnn_edge.errors import ModelError
from mrnn_edge_cli.doctor.check import Area, Check, fault, info, ok
from mrnn_edge_cli.doctor.child import ask

SECONDS = 120.0
"""For a caption in each precision, loading included."""


def checks(model: str | None, device: Device | None) -> Iterator[Check]:
    """One check per model: the one that is named, or all that are shipped.

    Files are checked even if no runtime can run them.
    """
    for name in (model,) if model is not None else shipped_models():
        yield _check(name, "auto" if device is None else str(device))


def _check(model: str, device: str) -> Check:
    name = f"model {os.path.basename(os.path.normpath(model))}"
    try:
        bundle = load_bundle(model)
        files = _check_files(bundle)
    except ModelError as error:
        return fault(Area.MODEL, name, error)
    found = f"id {bundle.config.id}, {files} files with the right sha256"
    answer = ask("model", model, device, seconds=SECONDS)
    if "failure" not in answer:
        for precision, caption in answer["captions"].items():
            found += f"; {precision} on {answer['device']}, a grey picture: {caption!r}"
        return ok(Area.MODEL, name, found)
    if answer.get("is_of_device"):
        # The fault is among the devices; of the model no more can be known.
        return info(Area.MODEL, name, f"{found}; not run, for want of a device")
    return fault(Area.MODEL, name, answer["failure"])


def _check_files(bundle: Bundle) -> int:
    """Read everything that config.json names; returns how many files. Raises BundleError."""
    config = bundle.config
    graphs = [
        (precision, role)
        for precision in config.precisions
        for role in (GraphRole.ENCODER, GraphRole.STEP)
    ]
    if config.gradient is not None:
        graphs.append((config.default_precision, GraphRole.GRADIENT))
    for precision, role in graphs:
        bundle.graph(precision, role)
    return len(graphs) + (bundle.prior() is not None)
