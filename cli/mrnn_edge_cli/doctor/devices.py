"""ONNX Runtime: its wheels, whether it can be imported, and where it really runs a graph."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from mrnn_edge.engine.device import CPU, CUDA, Device, DeviceKind
from mrnn_edge.engine.session import CUDA_PROVIDER
from mrnn_edge.errors import install_command
from mrnn_edge_cli.doctor.check import Area, Check, Status, fault, info, ok
from mrnn_edge_cli.doctor.child import ask
from mrnn_edge_cli.doctor.packages import check_wheels, owners, replacing

SECONDS: Final = 60.0
"""For a probe. Generous: a small board reads a whole runtime from its card."""
_TELEMETRY_OFF: Final = ("1", "true", "yes", "on", "y")
"""Values, in any case of letters, with which ONNX Runtime 1.32.0 reports nothing (tried)."""


def checks(wanted: Device | None) -> Iterator[Check]:
    """The runtime and where it runs; `wanted` is a device that must work, None needs no CUDA."""
    wheels = owners("onnxruntime")
    cuda = wanted if wanted is not None and wanted.kind is DeviceKind.CUDA else CUDA
    must = cuda == wanted
    install = _install(wheels, cuda=must)
    yield check_wheels(Area.DEVICE, "onnxruntime", wheels, install)
    runtime = ask("runtime", seconds=SECONDS)
    if "failure" in runtime:
        check = fault(Area.DEVICE, "onnxruntime", runtime["failure"])
        yield replace(check, advice=replacing(wheels, install))
        return
    providers: list[str] = runtime["providers"]
    built = ", ".join(name.removesuffix("ExecutionProvider") for name in providers)
    yield ok(Area.DEVICE, "onnxruntime", f"{runtime['version']}, built for {built}")
    yield _telemetry(runtime["telemetry"])
    yield _device(CPU, must=True)
    driver = _driver()
    yield driver
    if CUDA_PROVIDER in providers:
        yield _device(cuda, must=must)
        return
    found = "this ONNX Runtime was built without CUDA"
    change = replacing(wheels, install_command("gpu"))
    if must:
        yield replace(fault(Area.DEVICE, str(cuda), found), advice=change)
    else:
        yield info(Area.DEVICE, str(cuda), found, change if driver.status is Status.OK else None)


def _install(wheels: Mapping[str, str], *, cuda: bool) -> str:
    """The command that installs the wheel that is wanted, or that this machine can use best."""
    if cuda or ("onnxruntime-gpu" in wheels and shutil.which("nvidia-smi")):
        return f"{install_command('gpu')}  (or [cpu], not both)"
    return f"{install_command('cpu')}  (or [gpu] for NVIDIA CUDA, not both)"


def _device(device: Device, *, must: bool) -> Check:
    answer = ask("device", str(device), seconds=SECONDS)
    if "failure" not in answer:
        return ok(Area.DEVICE, str(device), f"ran a graph on {answer['provider']}")
    check = fault(Area.DEVICE, str(device), answer["failure"])
    return check if must else replace(check, status=Status.INFO)


def _telemetry(setting: str) -> Check:
    """Whether ONNX Runtime reports to its vendor; `setting` is NAME=VALUE of the environment."""
    name, _, value = setting.partition("=")
    if value.lower() in _TELEMETRY_OFF:
        return ok(Area.DEVICE, "telemetry", f"off ({setting})")
    return info(Area.DEVICE, "telemetry", f"left to ONNX Runtime ({setting})", f"unset {name}")


def _driver() -> Check:
    """NVIDIA's driver and cards, as its own tool reports them."""
    query = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    name = "nvidia driver"
    try:
        done = subprocess.run(
            query, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS
        )
    except FileNotFoundError:
        return info(Area.DEVICE, name, "no nvidia-smi")
    except (OSError, subprocess.TimeoutExpired) as error:
        return info(Area.DEVICE, name, f"nvidia-smi does not run ({type(error).__name__})")
    said = " | ".join((done.stdout or done.stderr).strip().splitlines())
    return info(Area.DEVICE, name, said) if done.returncode else ok(Area.DEVICE, name, said)
