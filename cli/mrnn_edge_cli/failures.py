"""From an exception to one line on stderr and an exit code: the one table."""

from collections.abc import Iterator
from enum import IntEnum

from mrnn_edge import errors


class ExitCode(IntEnum):
    """The exit codes of the command."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    SOME_FAILED = 3
    MODEL = 4
    DEVICE = 5
    CAMERA = 6
    REGRESSION = 7
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


_CODES: tuple[tuple[type[BaseException], ExitCode], ...] = (
    (errors.OptionError, ExitCode.USAGE),
    (errors.MissingExtraError, ExitCode.USAGE),
    (errors.DatasetError, ExitCode.USAGE),
    (errors.BenchRecordError, ExitCode.USAGE),
    (errors.IndexFileError, ExitCode.USAGE),
    (errors.TrainingError, ExitCode.INTERNAL),
    (errors.InputError, ExitCode.SOME_FAILED),
    (errors.SidecarError, ExitCode.SOME_FAILED),
    (errors.ModelError, ExitCode.MODEL),
    (errors.DeviceError, ExitCode.DEVICE),
    (errors.CameraError, ExitCode.CAMERA),
)


def exit_code(error: errors.MrnnEdgeError) -> ExitCode:
    """The exit code of a failure that ends the command."""
    codes: Iterator[ExitCode] = (code for kind, code in _CODES if isinstance(error, kind))
    return next(codes, ExitCode.INTERNAL)


EPILOGUE = (
    "Exit codes: 0 done; 1 internal or output error; 2 usage; 3 some inputs failed; "
    "4 model unknown or invalid; 5 device not available; 6 camera not available or lost; "
    "7 a regression found by bench --compare; "
    "130 interrupted; 141 the reader of a pipe has gone; 143 terminated."
)
