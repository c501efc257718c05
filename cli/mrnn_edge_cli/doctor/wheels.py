"""Which installed wheels own a module. Imports none of them.

Two wheels that own one module overwrite each other's files: the later one wins, and removing either
leaves half a module.
"""

import re
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version

from mrnn_edge_cli.doctor.check import Area, Check, Status, info, ok


def owners(module: str) -> dict[str, str]:
    """The wheels that own a module: normalised name to version."""
    # A folder that was half deleted has no name.
    names = filter(None, packages_distributions().get(module, ()))
    normalised = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    return {name: version(name) for name in sorted(normalised)}


def check(
    area: Area, module: str, wheels: Mapping[str, str], install: str, advice: str | None = None
) -> Check:
    """Whether one wheel alone owns the module; `advice` is for the case that none does."""
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
