"""Which installed distributions own a module. Imports none of them.

Two wheels that own one module overwrite each other's files: the later one wins, and taking either
away leaves half a module.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """An installed distribution."""

    name: str
    """Normalised: lower case, words joined by `-`."""
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def owners(module: str, *, named: str) -> list[Wheel]:
    """The distributions that own a module, by name; `named` is how their names begin.

    The beginning spares reading the file lists of all that is installed. Names that only begin
    like that (`onnxruntime-extensions` owns another module) are left out.
    """
    found: dict[str, Wheel] = {}
    for distribution in distributions():
        # A folder that was half deleted has no name.
        raw: str | None = distribution.metadata["Name"]
        name = re.sub(r"[-_.]+", "-", raw or "").lower()
        if name.startswith(named) and name not in found and module in _modules(distribution):
            found[name] = Wheel(name=name, version=distribution.version)
    return sorted(found.values(), key=lambda wheel: wheel.name)


def _modules(distribution: Distribution) -> set[str]:
    return {*(distribution.read_text("top_level.txt") or "").split(), *_folders(distribution)}


def _folders(distribution: Distribution) -> Iterator[str]:
    for file in distribution.files or ():
        if file.suffix == ".py" and len(file.parts) > 1:
            yield file.parts[0]


def mend(wheels: list[Wheel], install: str) -> str:
    """The lines that take these wheels away and leave one whole wheel in their place."""
    if not wheels:
        return install
    names = " ".join(wheel.name for wheel in wheels)
    return f"run: pip uninstall --yes {names}\n{install}"
