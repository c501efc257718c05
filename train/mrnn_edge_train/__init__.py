"""Training of mrnn-edge models, and their evaluation.

`model`, `cost`, `encoders`, `features` and `loop` need torch (extra `train`); `flickr8k`, `metrics`
and `evaluate` do not (extra `eval`). Import the modules; this package itself imports nothing.
"""
