"""A step function in, token ids and log-probabilities out. numpy only; knows no words."""
