"""numpy, Pillow with the formats that it really reads, and pi-heif where it is installed."""

import contextlib
import io
import platform
from collections.abc import Iterator
from importlib import metadata
from types import ModuleType

from mrnn_edge import __version__
from mrnn_edge.errors import install_command
from mrnn_edge_cli.doctor.check import Area, Check, fault, info, ok

_REINSTALL = "run: pip install --upgrade --force-reinstall"


def checks() -> Iterator[Check]:
    """The packages without which nothing works, each by using it."""
    for name, check in (("numpy", _numpy), ("pillow", _pillow)):
        try:
            yield check()
        except Exception as error:  # built for another processor, or half of two versions
            said = str(error).strip().partition("\n")[0]
            found = f"cannot be used ({type(error).__name__}: {said}); {_REINSTALL} {name}"
            yield fault(Area.INSTALLATION, name, found)
    yield _heic()


def installed_versions() -> dict[str, str]:
    """This program's, Python's and the run time's packages, without importing them."""
    found = {"mrnn-edge": __version__, "python": platform.python_version()}
    for package in ("onnxruntime", "onnxruntime-gpu", "numpy", "pillow"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _numpy() -> Check:
    import numpy as np

    (np.ones((2, 2), np.float32) @ np.ones(2, np.float32)).tolist()
    return ok(Area.INSTALLATION, "numpy", str(np.__version__))


def _pillow() -> Check:
    import PIL
    from PIL import Image

    from mrnn_edge.image.formats import FORMATS

    lacking = [each for each in FORMATS if not _reads(Image, each)]
    found = f"{PIL.__version__}, reads {', '.join(f for f in FORMATS if f not in lacking)}"
    if not lacking:
        return ok(Area.INSTALLATION, "pillow", found)
    found += f"; lacks {', '.join(lacking)}"
    return info(Area.INSTALLATION, "pillow", found, f"{_REINSTALL} pillow")


def _heic() -> Check:
    """The package of an extra: its absence is no fault."""
    try:
        version = metadata.version("pi-heif")
    except metadata.PackageNotFoundError:
        found = "HEIC pictures are not read"
        return info(Area.INSTALLATION, "pi-heif", found, install_command("heic"))
    return ok(Area.INSTALLATION, "pi-heif", f"{version}, reads HEIC")


def _reads(image: ModuleType, name: str) -> bool:
    """Whether a picture that Pillow writes in the format comes back from it."""
    file = io.BytesIO()
    try:
        image.new("RGB", (16, 16), (200, 100, 50)).save(file, name)
        with image.open(file, formats=(name,)) as again:
            again.load()
            return bool(again.size == (16, 16))
    except Exception:  # KeyError without the plugin, OSError without the codec
        return False
