"""From a training run to a model folder: graphs, parity, card, bundle. Import the modules."""

from mrnn_edge.engine.runtime import disable_telemetry

# Modules here import ONNX Runtime's converters, and with them the runtime.
disable_telemetry()
