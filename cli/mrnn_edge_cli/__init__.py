"""The `mrnn-edge` command. Thin: it parses, calls one function of a library, and prints."""

from mrnn_edge_cli.app import main

__all__ = ["main"]
