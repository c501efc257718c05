"""The checks of `doctor`, each on a machine that is made up for it."""

import os
import sys
from importlib import metadata

import faked
import pytest
import tiny
from fake_cuda import fake_runtime, with_int8
from PIL import Image

from mrnn_edge import machine as this_machine
from mrnn_edge.engine.device import Device, DeviceKind
from mrnn_edge.errors import OptionError
from mrnn_edge_cli.doctor import cameras, child, devices, models, probe, system
from mrnn_edge_cli.doctor.check import Area, Check, Status, examine
from mrnn_edge_cli.doctor.packages import checks as package_checks
from mrnn_edge_cli.doctor.packages import owners

CUDA = Device(kind=DeviceKind.CUDA, index=1)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads files of Linux")
signals = pytest.mark.skipif(os.name != "posix", reason="this system has no signals")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A folder of installed packages that goes before all others, in children too."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def named(checks):
    return {check.name: check for check in checks}


# Wheels


def test_wheels_are_found_by_the_module_that_they_own_not_by_their_names(packages):
    faked.wheel(packages, "Fancy.Runtime", "fancy", version="2.1")
    faked.wheel(packages, "fancy-runtime-extras", "fancy_extras")
    faked.wheel(packages, "other", "fancy")
    assert owners("fancy") == {"fancy-runtime": "2.1", "other": "1.0"}


def test_a_wheel_that_was_half_deleted_is_no_reason_to_stop(packages):
    (packages / "broken-1.0.dist-info").mkdir()
    faked.wheel(packages, "fancy", "fancy")
    assert owners("fancy") == {"fancy": "1.0"}


def test_two_runtimes_are_a_fault_with_the_two_lines_that_mend_it(packages):
    faked.wheel(packages, "onnxruntime-directml", "onnxruntime")
    check = named(devices.checks(None))["onnxruntime wheels"]
    assert check.status is Status.FAULT
    assert "onnxruntime-directml 1.0" in check.found
    uninstall, install = (check.advice or "").splitlines()
    assert uninstall.startswith("run: pip uninstall --yes onnxruntime")
    assert "onnxruntime-directml" in uninstall
    assert install.startswith("run: pip install 'mrnn-edge[cpu]'")


def test_two_runtimes_and_a_wish_for_cuda_are_mended_with_the_one_for_cuda(packages):
    faked.wheel(packages, "onnxruntime-directml", "onnxruntime")
    advice = named(devices.checks(CUDA))["onnxruntime wheels"].advice
    assert "pip install 'mrnn-edge[gpu]'" in (advice or "")


# Devices


def test_devices_are_told_by_a_graph_that_they_run_not_by_a_list(packages):
    faked.runtime(packages, providers=["CUDAExecutionProvider", "CPUExecutionProvider"])
    found = named(devices.checks(None))
    assert found["onnxruntime"].found == "1.0-fake, built for CUDA, CPU"
    assert found["cpu"].found == "ran a graph on CPUExecutionProvider"
    assert found["cuda:0"].found == "ran a graph on CUDAExecutionProvider"
    assert {found[name].status for name in ("cpu", "cuda:0")} == {Status.OK}


@pytest.mark.parametrize(("wanted", "status"), [(None, Status.INFO), (CUDA, Status.FAULT)])
def test_cuda_that_does_not_load_is_told_in_the_loader_s_words(packages, wanted, status):
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    faked.runtime(packages, providers=providers, cuda_fails=True)
    found = named(devices.checks(wanted))
    check = found[str(wanted or "cuda:0")]
    assert check.status is status
    assert "Failed to load libcublasLt.so.13" in check.found
    assert "nvidia-smi" in (check.advice or "")
    assert found["cpu"].status is Status.OK


def test_cuda_that_is_wanted_of_a_runtime_without_it_is_a_fault(packages):
    faked.runtime(packages)
    check = named(devices.checks(CUDA))["cuda:1"]
    assert check.status is Status.FAULT
    assert "pip install 'mrnn-edge[gpu]'" in (check.advice or "")
    assert named(devices.checks(None))["cuda:0"].status is Status.INFO


@pytest.mark.skipif(os.name != "posix", reason="the fake is a shell script")
def test_a_card_that_the_runtime_cannot_use_is_pointed_out(packages, tmp_path, monkeypatch):
    faked.runtime(packages)
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho '580.1, NVIDIA Something, 8192 MiB'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=os.pathsep)
    found = named(devices.checks(None))
    assert found["nvidia driver"].found == "580.1, NVIDIA Something, 8192 MiB"
    assert found["cuda:0"].status is Status.INFO
    assert "pip install 'mrnn-edge[gpu]'" in (found["cuda:0"].advice or "")


def test_a_processor_that_adds_wrongly_is_a_fault(packages):
    faked.runtime(packages, answer=41.0)
    check = named(devices.checks(None))["cpu"]
    assert check.status is Status.FAULT
    assert "answers [41.0] to 21 + 21" in check.found


def test_a_runtime_that_is_not_there_is_a_fault_with_the_line_that_installs_it(packages):
    faked.module(packages, "onnxruntime", "raise ImportError('No module named onnxruntime')")
    checks = list(devices.checks(None))
    assert (checks[-1].name, checks[-1].status) == ("onnxruntime", Status.FAULT)
    assert "pip install 'mrnn-edge[cpu]'" in (checks[-1].advice or "")


@pytest.mark.parametrize(
    ("value", "status", "said"),
    [("1", Status.OK, "off"), ("True", Status.OK, "off"), ("0", Status.INFO, "left")],
)
def test_telemetry_is_told_by_the_values_that_switch_it_off(
    packages, monkeypatch, value, status, said
):
    faked.runtime(packages)
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", value)
    check = named(devices.checks(None))["telemetry"]
    assert (check.status, check.found.split()[0]) == (status, said)


def test_half_a_runtime_is_taken_away_before_another_is_installed(packages):
    # Of two wheels one was uninstalled: pip would find the other installed, and do nothing.
    faked.module(packages, "onnxruntime", "")
    faked.wheel(packages, "onnxruntime-gpu", "onnxruntime")
    check = list(devices.checks(None))[-1]
    uninstall, install = (check.advice or "").splitlines()
    assert "onnxruntime-gpu" in uninstall
    assert "pip install" in install


@signals
def test_a_runtime_that_ends_its_process_is_a_fault_and_not_the_end_of_doctor(packages):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    faked.module(packages, "onnxruntime", code)
    check = list(devices.checks(None))[-1]
    assert check.status is Status.FAULT
    assert "SIGILL" in check.found


def test_a_runtime_that_never_comes_back_is_ended(packages):
    faked.module(packages, "onnxruntime", "import time; time.sleep(600)")
    answer = child.ask("runtime", seconds=0.2)
    assert answer["failure"] == "no answer in 0.2 s; its process was ended"


def test_what_a_library_prints_is_not_taken_for_the_answer(packages):
    faked.runtime(packages)
    noisy = packages / "onnxruntime" / "__init__.py"
    noisy.write_text(noisy.read_text() + "\nprint('{\"failure\": 1}', end='')\n")
    assert child.ask("runtime", seconds=60)["version"] == "1.0-fake"


# Models


def test_a_sound_model_is_checked_and_captions_a_grey_picture(bundle):
    (check,) = models.checks(str(bundle), None)
    assert check.status is Status.OK
    assert f"id {tiny.ID}, 4 files with the right sha256" in check.found
    assert "a grey picture: '" in check.found


@pytest.mark.parametrize("file", ["encoder.onnx", "step.onnx", "gradient.onnx", "prior.npy"])
def test_a_flipped_bit_is_found_in_every_file(bundle, file):
    data = bytearray((bundle / file).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / file).write_bytes(data)
    (check,) = models.checks(str(bundle), None)
    assert (check.area, check.status) == (Area.MODEL, Status.FAULT)
    assert f"{file} has sha256" in check.found
    assert "copy the folder again" in (check.advice or "")


def test_a_model_whose_weights_are_nonsense_is_a_fault(tmp_path):
    network = tiny.TinyNetwork()
    network.weights["softmax_bias"][0] = float("nan")
    (check,) = models.checks(str(tiny.write(tmp_path / "model", tiny.files(network))), None)
    assert check.status is Status.FAULT
    assert "not finite" in check.found


def test_without_a_runtime_the_files_are_checked_all_the_same(bundle, packages):
    faked.module(packages, "onnxruntime", "raise ImportError('gone')")
    (check,) = models.checks(str(bundle), None)
    assert check.status is Status.INFO
    assert "4 files with the right sha256; not run" in check.found


# Cameras

OPENCV = """
import os, signal
import numpy as np

class VideoCapture:
    def __init__(self, index):
        self.index = index
        if index == 2:
            os.kill(os.getpid(), signal.SIGSEGV)
    def isOpened(self):
        return self.index != 1
    def read(self):
        return self.index == 0, np.zeros((480, 640, 3), np.uint8)
    def release(self):
        pass
"""


@linux
def test_cameras_are_tried_each_in_a_process_of_its_own(packages, tmp_path):
    faked.wheel(packages, "opencv-python", "cv2")
    faked.module(packages, "cv2", OPENCV)
    for index in range(4):
        file = tmp_path / "dev" / f"video{index}"
        file.parent.mkdir(exist_ok=True)
        file.touch()
    label = tmp_path / "sys/class/video4linux/video0/name"
    label.parent.mkdir(parents=True)
    label.write_text("HD Webcam\n")
    found = named(cameras.checks(tmp_path))
    assert found["/dev/video0"].found == "HD Webcam: 640 x 480"
    assert found["/dev/video0"].status is Status.OK
    for index, what in ((1, "does not open"), (2, "SIGSEGV"), (3, "gives no frame")):
        assert what in found[f"/dev/video{index}"].found
        assert found[f"/dev/video{index}"].status is Status.INFO


@linux
def test_no_camera_is_no_fault(tmp_path):
    assert Status.FAULT not in {check.status for check in cameras.checks(tmp_path)}
    assert named(cameras.checks(tmp_path))["cameras"].found == "no /dev/video*"


def test_two_wheels_of_opencv_are_a_fault_with_the_lines_that_mend_it(packages, tmp_path):
    faked.wheel(packages, "opencv-python", "cv2")
    faked.wheel(packages, "opencv-contrib-python", "cv2")
    check = named(cameras.checks(tmp_path))["cv2 wheels"]
    assert (check.area, check.status) == (Area.CAMERA, Status.FAULT)
    uninstall, install = (check.advice or "").splitlines()
    assert "opencv-contrib-python" in uninstall
    assert "opencv-python" in uninstall
    assert "mrnn-edge[camera]" in install


# The machine


def write(root, name, text):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@linux
@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        (
            "model name\t: Some x86\nflags\t\t: fpu avx avx2 fma avx512f avx512_vnni\n",
            "Some x86: AVX, AVX2, FMA, AVX-512, AVX-512 VNNI",
        ),
        ("model name\t: Old x86\nflags\t\t: fpu sse2\n", "Old x86: no feature that matters"),
        ("BogoMIPS\t: 108\nFeatures\t: fp asimd asimdhp asimddp\n", "NEON, fp16, dotprod"),
    ],
)
def test_the_processor_is_told_with_the_features_that_matter(tmp_path, cpuinfo, expected):
    write(tmp_path, "proc/cpuinfo", cpuinfo)
    assert named(system.checks(tmp_path))["processor"].found.endswith(expected)


def test_a_board_is_told_by_its_name(tmp_path):
    write(tmp_path, "proc/device-tree/model", "Raspberry Pi 5 Model B Rev 1.0\0")
    assert "Raspberry Pi 5 Model B Rev 1.0" in named(system.checks(tmp_path))["system"].found


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_cgroup_counts_whatever_its_version(tmp_path, monkeypatch, version):
    monkeypatch.setattr(this_machine, "usable_cpus", lambda: set(range(8)))
    write(tmp_path, "proc/meminfo", "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n")
    if version == 2:
        write(tmp_path, "proc/self/cgroup", "0::/outer/inner\n")
        write(tmp_path, "sys/fs/cgroup/outer/cpu.max", "250000 100000")
        write(tmp_path, "sys/fs/cgroup/outer/inner/cpu.max", "max 100000")
    else:
        write(tmp_path, "proc/self/cgroup", "3:cpu,cpuacct:/inner\n4:memory:/\n5:pids:/\n")
        write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us", "250000")
        write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us", "100000")
        write(tmp_path, "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1")
    found = named(system.checks(tmp_path))
    assert "a cgroup allows the time of 2.5" in found["cores"].found
    assert found["cores"].found.endswith("; 2 threads by default")
    assert this_machine.usable_cores(tmp_path) == 2
    assert found["memory"].found == "8.0 GiB, 4.0 GiB available"


def test_a_machine_that_tells_nothing_has_no_fault(tmp_path):
    assert Status.FAULT not in {check.status for check in system.checks(tmp_path)}


# Packages


def test_heic_is_told_to_need_its_extra_and_is_no_fault(monkeypatch):
    assert named(package_checks())["pi-heif"].found.endswith(", reads HEIC")

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    check = named(package_checks())["pi-heif"]
    assert (check.status, check.advice) == (Status.INFO, "run: pip install 'mrnn-edge[heic]'")


def test_a_format_that_pillow_cannot_read_is_told(monkeypatch):
    Image.init()
    monkeypatch.delitem(Image.OPEN, "WEBP")
    check = named(package_checks())["pillow"]
    assert check.status is Status.INFO
    assert "lacks WEBP" in check.found
    assert "JPEG" in check.found.partition(";")[0]


@pytest.mark.parametrize(("module", "name"), [("numpy", "numpy"), ("PIL", "pillow")])
def test_a_package_that_cannot_be_imported_is_a_fault(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    check = named(package_checks())[name]
    assert (check.area, check.status) == (Area.INSTALLATION, Status.FAULT)
    assert "--force-reinstall" in (check.advice or "")


# All together


def test_a_check_that_explodes_is_a_fault_and_the_others_go_on(bundle, monkeypatch):
    def explode(device):
        yield Check(area=Area.DEVICE, name="first", status=Status.OK, found="fine")
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(devices, "checks", explode)
    found = named(examine(bundle))
    assert found["first"].status is Status.OK
    assert found["devices"].status is Status.FAULT
    assert "ZeroDivisionError: of all things" in found["devices"].found
    assert found["model model"].status is Status.OK


def test_the_path_of_the_home_folder_is_not_told(bundle, monkeypatch):
    monkeypatch.setenv("HOME", str(bundle.parent))
    monkeypatch.setenv("USERPROFILE", str(bundle.parent))
    (bundle / "step.onnx").unlink()
    check = named(examine(bundle))["model model"]
    assert check.found.startswith(os.path.join("~", "model", "step.onnx"))


def test_a_device_that_is_none_is_refused_before_anything_is_looked_at():
    with pytest.raises(OptionError, match="expected auto, cpu, cuda"):
        examine(device="tpu")


def test_a_finding_of_several_lines_becomes_one():
    check = Check(area=Area.DEVICE, name="x", status=Status.INFO, found="one\n two\tthree")
    assert check.tidied().found == "one two three"


def test_a_model_is_tried_on_a_named_cuda_in_the_arithmetic_that_it_has_there(bundle, monkeypatch):
    fake_runtime(monkeypatch, refuses_int8=True)
    found = probe.model(str(with_int8(bundle)), "cuda:0")
    assert (set(found["captions"]), found["device"]) == ({"float32"}, "cuda:0")
    assert set(probe.model(str(bundle), "cpu")["captions"]) == {"float32", "int8"}
