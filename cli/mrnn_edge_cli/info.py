"""`mrnn-edge info`: what is in a model, and what runs it here."""

from typing import Any

from mrnn_edge_cli import options as opt
from mrnn_edge_cli.output import write, write_json


def info(model: opt.Model = None, json: opt.Json = False, quiet: opt.Quiet = False) -> None:
    """Print what a model is: its id, sizes, training, figures and licences."""
    del quiet  # nothing goes to stderr
    from mrnn_edge.bundle.folder import load_bundle, read_metrics, shipped_models
    from mrnn_edge_cli.doctor.packages import installed_versions

    bundle = load_bundle(model)
    config = bundle.config
    facts: dict[str, Any] = {
        "versions": installed_versions(),
        "model": config.name,
        "id": config.id,
        "folder": str(bundle.folder),
        "image": f"{config.image.width} x {config.image.height}, {config.image.resize}",
        "sizes": {
            "vocabulary": config.sizes.vocabulary,
            "image": config.sizes.image,
            "state": config.sizes.state,
        },
        "precisions": {
            str(precision): f"{pair.bytes / 1e6:.1f} MB"
            for precision, pair in config.precisions.items()
        },
        "evidence": "none: the model has no prior"
        if config.prior is None
        else f"against the mean training picture; ranks against {config.prior.groups} groups",
        "confidence": "none" if config.confidence is None else "fitted on dev",
        "short_list": "yes" if config.gradient else "no gradient graph: every search is exact",
        "default_precision": str(config.default_precision),
        "opset": config.opset,
        "length_penalty": config.decoding.length_penalty,
        "training": dict(config.training),
        "figures": read_metrics(bundle.folder).get("eval", {}),
        "licence": dict(config.licence),
        "shipped_models": list(shipped_models()),
    }
    if json:
        write_json(facts)
        return
    for line in _lines(facts, ""):
        write(line)


def _lines(facts: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{indent}{key}: {shown}")
    return lines
