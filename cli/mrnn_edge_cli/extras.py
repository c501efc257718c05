"""The check that a command's packages are there, before it starts and half-way fails."""

from importlib.util import find_spec

from mrnn_edge.errors import MissingExtraError


def need(extra: str, *modules: str) -> None:
    """Raise MissingExtraError, with the command to run, unless all modules can be found."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"this command needs {', '.join(missing)}; run: pip install 'mrnn-edge[{extra}]'"
        )
