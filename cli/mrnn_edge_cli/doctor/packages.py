"""numpy, Pillow with the formats that it really reads, pi-heif, and which wheels own a module."""

import contextlib
import io
import platform
import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from types import ModuleType

from mrnn_edge import __version__
from mrnn_edge.errors import install_command
from mrnn_edge_cli.doctor.check import Area, Check, Status, fault, info, ok

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


def owners(module: str) -> dict[str, str]:
    """The wheels that own a module: normalised name to version."""
    # A folder that was half deleted has no name.
    names = filter(None, metadata.packages_distributions().get(module, ()))
    normalised = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    return {name: metadata.version(name) for name in sorted(normalised)}


def check_wheels(
    area: Area, module: str, wheels: Mapping[str, str], install: str, advice: str | None = None
) -> Check:
    """Whether one wheel alone owns the module; `advice` is for the case that none does.

    Two overwrite each other's files: the later one wins, and removing either leaves half a module.
    """
    name = f"{module} wheels"
    found = ", ".join(f"{wheel} {number}" for wheel, number in wheels.items())
    if len(wheels) > 1:
        found += f": each owns the module `{module}`, together they spoil it"
        repair = replacing(wheels, install)
        return Check(area=area, name=name, status=Status.FAULT, found=found, advice=repair)
    return ok(area, name, found) if wheels else info(area, name, "none is installed", advice)


def replacing(wheels: Mapping[str, str], install: str) -> str:
    """The commands that remove these wheels and install one whole wheel in their place."""
    # What is installed has to go first: pip would find it there, and do nothing.
    return f"run: pip uninstall --yes {' '.join(wheels)}\n{install}" if wheels else install


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
