"""One grey picture through both graphs at load, so that a graph that cannot run ends there.

Takes open graphs and what captions with them, gives nothing: an error of the model, or silence.
"""

from pathlib import Path

import numpy as np

from mrnn_edge.config import DecodeOptions, ImageSpec
from mrnn_edge.constraints import Constraints
from mrnn_edge.errors import BundleError, ModelError, NumericalError
from mrnn_edge.generation import CaptionGenerator
from mrnn_edge.runtime import Graphs


def warm_up(graphs: Graphs, captions: CaptionGenerator, image: ImageSpec, folder: Path) -> None:
    """Encode a grey picture and take one step.

    Raises BundleError, which names the model's folder, for weights that are not finite and for
    graphs that do not run on the CPU. On CUDA that may be the device's fault: DeviceError.
    """
    try:
        grey = np.full((1, image.height, image.width, 3), 127, np.uint8)
        options = DecodeOptions(beam=1, max_words=1)
        captions.decode(graphs.encoder(grey), options, Constraints())
    except NumericalError as error:
        raise BundleError(
            f"{folder}: {error} (a grey one, at load); export the model anew"
        ) from None
    except MemoryError:
        raise BundleError(
            f"{folder}: no memory for a grey picture of {image.width} x {image.height} pixels or "
            "its caption (at load); free memory or take a smaller model"
        ) from None
    except ModelError as error:
        raise BundleError(f"{folder}: {error} (at load)") from None
