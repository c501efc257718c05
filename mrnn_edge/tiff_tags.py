"""The tags of TIFF that say how pixels are written, and one of our own."""

from typing import Final

BITS: Final = 258
"""Bits a sample."""
PHOTOMETRIC: Final = 262
"""What zero is, or which colours there are."""
SAMPLES: Final = 339
"""Whether samples have a sign, or float."""
PIXELS: Final = frozenset(
    (
        *(254, 256, 257, BITS, 259, PHOTOMETRIC, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317),
        *(320, 322, 323, 324, 325, 332, 338, SAMPLES, 347, 512, 513, 514, 515, 519, 520, 521),
        *(529, 530, 531, 532),
    )
)
"""Size, layout, compression, colours, orientation; what else there is, is metadata."""
TURNED: Final = 65000
"""By this a TIFF out of pixels_only.py says that its zero was white. It has been called black
there, for Pillow reads some kinds of grey in that way alone."""
TURNED_VALUE: Final = 0x6D726E6E
"""Tags from 65000 on are anyone's; with this value it is ours."""
