"""The m-RNN and its CNN as torch modules."""
