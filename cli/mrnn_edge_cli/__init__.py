"""The `mrnn-edge` command. Thin: it parses, calls one function of a library, and prints."""

from typing import NoReturn

from mrnn_edge_cli.start import collector_at_rest

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command and end the process."""
    with collector_at_rest():
        from mrnn_edge_cli import app
    app.main()
