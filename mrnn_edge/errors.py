"""Every failure that a user of mrnn-edge can meet, as one tree.

    MrnnEdgeError
    ├── OptionError                  options that contradict each other or are out of range
    ├── MissingExtraError            a part of the project whose packages are not installed
    ├── DatasetError                 a data set that is missing or malformed
    ├── TrainingError                a training run that went wrong
    ├── BenchRecordError             a benchmark record that cannot be read, or not be compared
    ├── IndexFileError               an image index that is damaged, foreign or of another model
    ├── SidecarError                 a file beside a picture that was not written by us
    ├── InputError                   one picture cannot be captioned; the others can
    │   ├── FileError                  missing, a folder, a device, not readable
    │   ├── UnsupportedImageError      not a picture, or a format that is not read here
    │   ├── ImageDecodeError           a picture that is damaged
    │   ├── ImageTooLargeError         more pixels than the limit
    │   ├── ImageInputError            an object that is not a picture (wrong type, shape, dtype)
    │   ├── NumericalError             the model gave numbers that are not finite
    │   ├── TruncatedVideoError        a video or sequence with fewer frames than it promises
    │   └── ConstraintError            no sentence holds the words that were required
    ├── ModelError                   the model cannot be used
    │   ├── ModelNotFoundError         no such name, no such folder
    │   ├── BundleError                a model folder that is damaged or malformed
    │   ├── SignatureError             a graph with other inputs or outputs than the contract's
    │   └── VocabularyMismatchError    words and graphs that do not belong together
    ├── DeviceError                  the requested device is not available, or failed
    │   └── ForkedSessionError         a model that was loaded before the process was forked
    └── CameraError                  a camera, stream or video gives no frames
        ├── CameraUnavailableError     it does not open, or gives no first frame
        └── CameraLostError            it gave frames and then stopped

A message says what was found, what was expected and what to do. The command maps the branches to
exit codes; nothing in here knows them.
"""


def install_command(extras: str) -> str:
    """The command that installs extras such as `cpu,train`, for messages."""
    return f"run: pip install 'mrnn-edge[{extras}]'"


class MrnnEdgeError(Exception):
    """The root: catch it to catch every failure listed here."""


class OptionError(MrnnEdgeError):
    """An option is out of range, or two of them contradict each other."""


class MissingExtraError(MrnnEdgeError):
    """A command needs packages of extras (`cpu`, `eval`, `train`) that are not installed."""

    def __init__(self, packages: str, extras: str) -> None:
        super().__init__(f"not installed: {packages}; {install_command(extras)}")
        self._arguments = (packages, extras)

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:
        # A pool of processes waits for ever for an exception that it cannot unpickle.
        return MissingExtraError, self._arguments


class DatasetError(MrnnEdgeError):
    """A data set for training or evaluation is missing, incomplete or malformed."""


class TrainingError(MrnnEdgeError):
    """A training run whose cost is no longer a finite number."""


class BenchRecordError(MrnnEdgeError):
    """A benchmark record that is damaged, of another format, or not of what it is compared with."""


class IndexFileError(MrnnEdgeError):
    """An image index that is missing, truncated, damaged, of another model, or no index at all."""


class SidecarError(MrnnEdgeError):
    """A file beside a picture that was not written by us, or cannot be replaced."""


class InputError(MrnnEdgeError):
    """One picture cannot be captioned. Other pictures of the same call are not affected."""


class FileError(InputError):
    """A path that cannot be read as a file: missing, a folder, a device, no permission."""


class UnsupportedImageError(InputError):
    """Bytes that are not a picture, or a picture in a format outside the allow-list."""


class ImageDecodeError(InputError):
    """A picture whose data is cut off or damaged."""


class ImageTooLargeError(InputError):
    """A picture with more pixels than the limit, refused before it is decoded."""


class ImageInputError(InputError):
    """An object that is not a picture: wrong type, shape or dtype."""


class NumericalError(InputError):
    """The model answered with NaN or infinity for this picture."""


class TruncatedVideoError(InputError):
    """A video or a sequence of pictures that ended, some of its frames missing or unreadable."""


class ConstraintError(InputError):
    """No sentence for the picture holds all the words that were required."""


class ModelError(MrnnEdgeError):
    """The model cannot be used."""


class ModelNotFoundError(ModelError):
    """No shipped model and no folder has this name."""


class BundleError(ModelError):
    """A model folder with a missing, damaged or malformed file."""


class SignatureError(ModelError):
    """A graph whose inputs or outputs differ from the contract in name, type or shape."""


class VocabularyMismatchError(ModelError):
    """A vocabulary that does not belong to the graphs beside it."""


class DeviceError(MrnnEdgeError):
    """The requested device is not available or failed twice, or there is no runtime."""


class ForkedSessionError(DeviceError):
    """A model is used in a forked child, which has none of the runtime's threads."""


class CameraError(MrnnEdgeError):
    """A device, stream or video gives no frames."""


class CameraUnavailableError(CameraError):
    """A source that does not open, or opens and gives no first frame."""


class CameraLostError(CameraError):
    """A source that gave frames and then none for longer than the limit."""
