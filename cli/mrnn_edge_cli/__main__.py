"""`python -m mrnn_edge_cli` is `mrnn-edge`."""

from mrnn_edge_cli.app import main

main()
