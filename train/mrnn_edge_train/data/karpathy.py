"""Karpathy's JSON (`dataset_flickr8k.json`, `dataset_coco.json`): all splits in one file.

    {"images": [{"filename": "1.jpg", "split": "train", "sentences": [{"raw": "A dog ."}, …]}, …]}

COCO's entries also have a `filepath`, the folder of the picture, and the split `restval`, which
counts as train. Pictures lie beside the file, or in `images/` beside it. No torch, no pixels.
"""

import json
from pathlib import Path
from typing import Any

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import CaptionedImage, Split

_SPLITS = {
    "train": Split.TRAIN,
    "restval": Split.TRAIN,
    "val": Split.DEV,
    "test": Split.TEST,
}


def read_split(path: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the file's order; the files may be missing.

    Raises DatasetError, naming the entry, if the file is not of this form.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{path}: cannot be read as Karpathy's JSON ({error!r}); expected "
            '{"images": [{"filename", "split", "sentences": [{"raw"}]}]}'
        ) from None
    folder = path.parent / "images"
    if not folder.is_dir():
        folder = path.parent
    read = (_read(entry, folder, f"{path}, image {row}") for row, entry in enumerate(entries))
    return tuple(image for found, image in read if found is split)


def _read(entry: Any, folder: Path, where: str) -> tuple[Split, CaptionedImage]:
    try:
        split = _SPLITS[entry["split"]]
        name = Path(entry.get("filepath", "")) / entry["filename"]
        sentences = tuple(tokenize(sentence["raw"]) for sentence in entry["sentences"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{where}: {error!r}; expected filename, sentences with raw, and as split one of "
            f"{', '.join(_SPLITS)}"
        ) from None
    return split, CaptionedImage(path=folder / name, sentences=sentences)
