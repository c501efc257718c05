"""From a training run to a model folder: graphs, parity, card, bundle. Import the modules."""
