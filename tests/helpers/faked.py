"""Installed packages that are not there: a folder for sys.path with modules and their wheels."""

from pathlib import Path


def wheel(folder: Path, name: str, module: str, *, version: str = "1.0") -> None:
    """What pip leaves of an installed wheel that owns a module, but for the module itself."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text(f"{module}/__init__.py,,\n{info.name}/METADATA,,\n")


def module(folder: Path, name: str, code: str) -> None:
    """A package of one file."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)


RUNTIME = """
import numpy as np

__version__ = "1.0-fake"


class SessionOptions:
    def add_session_config_entry(self, key, value):
        pass


class InferenceSession:
    def __init__(self, graph, options, providers, **_):
        self.name = providers[0] if isinstance(providers[0], str) else providers[0][0]
        if "CUDA" in self.name and CUDA_FAILS:
            raise RuntimeError("This session contains graph nodes that are assigned to the CPU")

    def get_providers(self):
        return [self.name]

    def run(self, outputs, feeds):
        return [np.array([ANSWER], np.float32)]


def get_available_providers():
    return PROVIDERS


def set_default_logger_severity(level):
    pass


def preload_dlls():
    if CUDA_FAILS:
        print("Failed to load libcublasLt.so.13: no such file")
"""


def runtime(
    folder: Path, *, providers=("CPUExecutionProvider",), cuda_fails=False, answer=42.0
) -> None:
    """A module `onnxruntime` whose graphs all answer with one number."""
    facts = f"PROVIDERS = {list(providers)!r}\nCUDA_FAILS = {cuda_fails}\nANSWER = {answer}\n"
    module(folder, "onnxruntime", facts + RUNTIME)
