"""Training of mrnn-edge models, and their evaluation.

`data`, `evaluation` and `journal` need no torch (extra `eval`); the rest does (extra `train`).
Import the modules; this package itself imports nothing.
"""
