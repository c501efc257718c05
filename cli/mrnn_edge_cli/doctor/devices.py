"""ONNX Runtime: its wheels, whether it can be imported, and where it really runs a graph."""

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from mrnn_edge.engine.device import CPU, CUDA, Device, DeviceKind
from mrnn_edge.engine.session import CUDA_PROVIDER
from mrnn_edge.errors import install_command
from mrnn_edge_cli.doctor.check import Area, Check, Status, fault, info, ok
from mrnn_edge_cli.doctor.child import ask
from mrnn_edge_cli.doctor.wheels import Wheel, mend, owners

SECONDS: Final = 60.0
"""For a probe. Generous: a small board reads a whole runtime from its card."""


def checks(wanted: Device | None) -> Iterator[Check]:
    """The runtime and where it runs; `wanted` is a device that must work, None asks for no CUDA."""
    wheels = owners("onnxruntime", named="onnxruntime")
    cuda = wanted if wanted is not None and wanted.kind is DeviceKind.CUDA else CUDA
    must = cuda == wanted
    install = _install(wheels, cuda=must)
    yield _wheels(wheels, install)
    runtime = ask("runtime", seconds=SECONDS)
    if runtime.failure is not None:
        # What is installed has to go first: pip would find it there, and do nothing.
        check = fault(Area.DEVICE, "onnxruntime", runtime.failure)
        yield replace(check, advice=mend(wheels, install))
        return
    providers: list[str] = runtime.facts["providers"]
    built = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    yield ok(Area.DEVICE, "onnxruntime", f"{runtime.facts['version']}, built for {built}")
    yield _telemetry(runtime.facts["telemetry"])
    yield _device(CPU, must=True)
    driver = _driver()
    yield driver
    if CUDA_PROVIDER in providers:
        yield _device(cuda, must=must)
        return
    found = "this ONNX Runtime was built without CUDA"
    change = mend(wheels, install_command("gpu"))
    if must:
        yield replace(fault(Area.DEVICE, str(cuda), found), advice=change)
    else:
        yield info(Area.DEVICE, str(cuda), found, change if driver.status is Status.OK else None)


def _wheels(wheels: list[Wheel], install: str) -> Check:
    name = "onnxruntime wheels"
    found = ", ".join(map(str, wheels))
    if len(wheels) == 1:
        return ok(Area.DEVICE, name, found)
    if not wheels:
        return info(Area.DEVICE, name, "none is installed by pip")
    found += ": each owns the module `onnxruntime`, together they spoil it"
    return replace(fault(Area.DEVICE, name, found), advice=mend(wheels, install))


def _install(wheels: list[Wheel], *, cuda: bool) -> str:
    """The line that installs the one wheel that is wanted, or that this machine can use best."""
    has_gpu = any(wheel.name == "onnxruntime-gpu" for wheel in wheels)
    if cuda or (has_gpu and shutil.which("nvidia-smi")):
        return f"{install_command('gpu')}  (or [cpu], not both)"
    return f"{install_command('cpu')}  (or [gpu] for NVIDIA CUDA, not both)"


def _device(device: Device, *, must: bool) -> Check:
    name = str(device)
    answer = ask("device", name, seconds=SECONDS)
    if answer.failure is None:
        return ok(Area.DEVICE, name, f"ran a graph on {answer.facts['provider']}")
    check = fault(Area.DEVICE, name, answer.failure)
    return check if must else replace(check, status=Status.INFO)


def _telemetry(setting: str) -> Check:
    """Whether ONNX Runtime reports to its vendor; `setting` is NAME=VALUE of the environment."""
    name, _, value = setting.partition("=")
    if value == "1":
        return ok(Area.DEVICE, "telemetry", f"off ({setting})")
    return info(
        Area.DEVICE, "telemetry", f"left to ONNX Runtime ({setting} was set here)", f"unset {name}"
    )


def _driver() -> Check:
    """NVIDIA's driver and cards, by its own tool."""
    name = "nvidia driver"
    query = "--query-gpu=driver_version,name,memory.total"
    try:
        done = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return info(Area.DEVICE, name, "no nvidia-smi")
    except (OSError, subprocess.TimeoutExpired) as error:
        return info(Area.DEVICE, name, f"nvidia-smi does not run ({type(error).__name__})")
    said = " | ".join((done.stdout or done.stderr).split("\n")).strip(" |")
    return info(Area.DEVICE, name, said) if done.returncode else ok(Area.DEVICE, name, said)
