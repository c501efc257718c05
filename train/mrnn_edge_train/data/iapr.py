"""IAPR TC-12 on disk: a file of annotations beside each picture, by folder and number.

    ROOT/images/NN/NUMBER.jpg
    ROOT/annotations_complete_eng/NN/NUMBER.eng     (or annotations/, where that lacks a file)
    ROOT/iaprtc12_train_list.txt, ROOT/iaprtc12_test_list.txt        lines of NN/NUMBER

    <DOC>
    <DOCNO>annotations/01/1000.eng</DOCNO>
    <TITLE>…</TITLE>
    <DESCRIPTION>a boy wearing a hat; a grey wall in the background;</DESCRIPTION>
    …
    </DOC>

The files resemble XML but are not: Latin-1 without a declaration, `&` unescaped. Semicolons
separate sentences, of which the first says what matters most. The lists are those of
Guillaumin et al. 2009 and later work, the m-RNN's too: 17,665 pictures and 1,962. There is no dev
list: about one in ten training pictures, chosen by name, is dev. Without lists every split follows
from the name. No torch, no pixels.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from mrnn_edge.errors import DatasetError
from mrnn_edge.vocab import tokenize
from mrnn_edge_train.data.common import CaptionedImage, Split, read_lines, split_lists, split_of

ANNOTATIONS = "annotations_complete_eng"
_FOLDERS = (ANNOTATIONS, "annotations")
_DESCRIPTION = re.compile(r"<DESCRIPTION>(.*?)</DESCRIPTION>", re.DOTALL)
_LISTS = {Split.TRAIN: "iaprtc12_train_list.txt", Split.TEST: "iaprtc12_test_list.txt"}


def read_split(root: Path, split: Split) -> tuple[CaptionedImage, ...]:
    """The pictures of a split in the order of the list, or by folder and name.

    The files may be missing.

    Raises DatasetError, naming the file, if an annotation is missing or not of this form.
    """
    return tuple(_read(root, key) for key in _keys(root, split))


def captioned(root: Path) -> Iterable[str]:
    """Names of all pictures with a description, in a split or not."""
    return [f"{Path(key).name}.jpg" for key in _described(root)]


def _described(root: Path) -> list[str]:
    files = sorted((root / ANNOTATIONS).glob("*/*.eng"))
    return [f"{file.parent.name}/{file.stem}" for file in files]


def _keys(root: Path, split: Split) -> Iterable[str]:
    """`NN/NUMBER` of each picture."""
    lists = split_lists(root, _LISTS)
    if not lists:
        return [key for key in _described(root) if split_of(key) is split]
    if split is Split.TEST:
        return read_lines(lists[Split.TEST])
    train = read_lines(lists[Split.TRAIN])
    return [key for key in train if (split_of(key) is Split.DEV) is (split is Split.DEV)]


def _read(root: Path, key: str) -> CaptionedImage:
    files = [root / folder / f"{key}.eng" for folder in _FOLDERS]
    file = next((each for each in files if each.is_file()), files[0])
    try:
        text = file.read_text(encoding="latin-1")
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error}); complete the data set") from None
    description = _DESCRIPTION.search(text)
    if description is None:
        raise DatasetError(
            f"{file}: found {text[:60]!r}, expected <DESCRIPTION>…</DESCRIPTION>; fix the file"
        )
    sentences = (tokenize(part) for part in description[1].split(";"))
    return CaptionedImage(
        path=root / "images" / f"{key}.jpg",
        sentences=tuple(words for words in sentences if words),
    )
