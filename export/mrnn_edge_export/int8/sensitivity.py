"""Which layers of the encoder hurt most in 8 bits: each in turn left in float, the others not.

Takes a calibrated encoder and pictures, gives the layers' names, the worst first. The measure is
how near the image vectors come to the float graph's.
"""

import numpy as np
from numpy.typing import NDArray

from mrnn_edge.arrays import Floats
from mrnn_edge.bundle.config import GraphRole, Precision
from mrnn_edge.bundle.folder import Bundle
from mrnn_edge.engine.runtime import open_graphs
from mrnn_edge.timing import Track, untracked
from mrnn_edge_export.int8.encoder import CalibratedEncoder


def worst_layers(
    encoder: CalibratedEncoder,
    pixels: NDArray[np.uint8],
    bundle: Bundle,
    *,
    track: Track = untracked,
) -> tuple[str, ...]:
    """The layers by what it brings to leave each alone in float, on pixels [B, H, W, 3]."""
    wanted = _encode(bundle, bundle.graph(Precision.FLOAT32, GraphRole.ENCODER), pixels)
    errors = {}
    for layer in track(encoder.layers, "layers", len(encoder.layers)):
        found = _encode(bundle, encoder.quantize(float_layers=[layer]), pixels)
        errors[layer] = float(np.linalg.norm(found - wanted))
    return tuple(sorted(errors, key=errors.__getitem__))


def _encode(bundle: Bundle, encoder: bytes, pixels: NDArray[np.uint8]) -> Floats:
    graphs = {
        GraphRole.ENCODER: encoder,
        GraphRole.STEP: bundle.graph(Precision.FLOAT32, GraphRole.STEP),
    }
    opened = open_graphs(bundle.config, read=graphs.__getitem__, metadata=bundle.metadata)
    return opened.encoder(pixels)
