"""The check that a command's packages are there, before it starts and half-way fails."""

from importlib.util import find_spec

from mrnn_edge.errors import MissingExtraError

TRAINING = ("torch", "safetensors", "platformdirs", "pycocoevalcap", "efficientnet_lite_pytorch")
"""What training imports, evaluation included."""


def need(extras: str, *modules: str) -> None:
    """Raise MissingExtraError, with the command to run, unless all modules can be found."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtraError(", ".join(missing), extras)
