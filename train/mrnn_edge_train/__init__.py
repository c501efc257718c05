"""Training of mrnn-edge models, and their evaluation.

`datasets` and the readers it chooses from, `journal`, `metrics` and `evaluate` come without torch
(extra `eval`); the rest needs it (extra `train`). Import the modules; this package itself imports
nothing.
"""
