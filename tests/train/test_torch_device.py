"""Which device a process trains on, and how several are joined; no GPU is needed, none is used."""

import pytest
import torch

from mrnn_edge.errors import DeviceError, OptionError
from mrnn_edge_train import distributed
from mrnn_edge_train.network.encoders import EfficientNetLite, EncoderName
from mrnn_edge_train.network.tuning import features
from mrnn_edge_train.torch_device import CPU, choose_device, device_failures, has_bfloat16


@pytest.fixture
def two_gpus(monkeypatch):
    """PyTorch sees two GPUs; the list has the one that was made current."""
    current, ones = [], torch.ones
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: ones(*shape))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    return current


def beside(monkeypatch, *, number, count):
    """As torchrun starts a process, one of so many on this machine."""
    monkeypatch.setenv("LOCAL_RANK", str(number))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(count))
    monkeypatch.setenv("WORLD_SIZE", str(count))


def test_the_cpu_needs_no_gpu():
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", ""])
def test_another_name_is_refused(name):
    with pytest.raises(OptionError, match="expected cpu, cuda or cuda:N"):
        choose_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_where_there_is_no_cuda_the_reason_is_pytorchs_own():
    with pytest.raises(DeviceError, match=r"cuda is not available: .*train with --device cpu"):
        choose_device("cuda")


def test_a_gpu_is_the_first_or_the_one_named_and_made_current(two_gpus):
    assert [str(choose_device(name)) for name in ("cuda", "cuda:1")] == ["cuda:0", "cuda:1"]
    assert list(map(str, two_gpus)) == ["cuda:0", "cuda:1"]
    assert not torch.backends.cudnn.allow_tf32


def test_a_number_beyond_the_last_gpu_is_refused(two_gpus):
    with pytest.raises(DeviceError, match="cuda:2 does not exist: PyTorch sees 2 GPUs"):
        choose_device("cuda:2")
    assert two_gpus == []


def test_a_gpu_that_does_not_compute_is_refused(two_gpus, monkeypatch):
    def fail(*shape, device):
        raise RuntimeError("no kernel image is available\nCompile with TORCH_USE_CUDA_DSA")

    monkeypatch.setattr(torch, "ones", fail)
    with pytest.raises(
        DeviceError, match=r"cuda:0 does not compute: no kernel image is available$"
    ):
        choose_device("cuda")


def test_each_of_several_processes_has_a_gpu_of_its_own(two_gpus, monkeypatch):
    beside(monkeypatch, number=1, count=2)
    assert str(choose_device("cuda")) == "cuda:1"
    with pytest.raises(OptionError, match=r"torchrun started 2 processes here.*use --device cuda$"):
        choose_device("cuda:0")
    beside(monkeypatch, number=2, count=3)
    with pytest.raises(DeviceError, match="start 2 processes at most"):
        choose_device("cuda")


@pytest.fixture
def joined(monkeypatch):
    """What init_process_group is called with, in place of waiting for others."""
    beside(monkeypatch, number=0, count=2)
    calls = []
    group = torch.distributed
    monkeypatch.setattr(
        group, "init_process_group", lambda backend, **rest: calls.append((backend, rest))
    )
    monkeypatch.setattr(distributed.atexit, "register", lambda leave: calls.append(leave))
    return calls


def test_processes_on_the_cpu_are_joined_over_gloo(joined, monkeypatch):
    distributed.join(torch.device("cpu"))
    (backend, rest), leave = joined
    assert backend == "gloo"
    assert "device_id" not in rest
    ended = []
    monkeypatch.setattr(distributed.time, "sleep", lambda seconds: ended.append("pause"))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: ended.append("end"))
    leave()
    assert ended == ["pause", "end"]


def test_gradients_of_gpus_go_over_nccl_and_what_lies_on_the_cpu_over_gloo(joined, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    distributed.join(torch.device("cuda", 1))
    backend, rest = joined[0]
    assert backend == "cpu:gloo,cuda:nccl"
    assert rest["device_id"] == torch.device("cuda", 1)


def test_gpus_without_nccl_are_refused(joined, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    with pytest.raises(DeviceError, match="need nccl"):
        distributed.join(torch.device("cuda", 0))
    assert joined == []


def test_a_process_alone_joins_nobody(joined, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    distributed.join(torch.device("cuda", 0))
    assert joined == []


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nmore"), "has too little memory"),
        (torch.AcceleratorError("CUDA error: an illegal access\nmore"), "continue with --resume"),
    ],
)
def test_a_gpu_that_fails_in_the_middle_is_told_in_one_line(raised, message):
    with (
        pytest.raises(DeviceError, match=message) as found,
        device_failures(torch.device("cuda", 0)),
    ):
        raise raised
    assert "more" not in str(found.value)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"architecture": "x86_64", "avx2": True, "avx512_bf16": False}, False),
        ({"architecture": "x86_64", "avx512_bf16": True}, True),
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, True),
        ({"architecture": "aarch64", "bf16": True}, True),
        ({"architecture": "aarch64", "neon": True}, False),
    ],
)
def test_a_processor_has_bfloat16_or_not_by_what_it_tells(monkeypatch, told, found):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    assert has_bfloat16(CPU) is found
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert has_bfloat16(CPU)
    assert has_bfloat16(torch.device("meta"))


@pytest.mark.parametrize("emulated", [True, False])
def test_a_gpu_that_would_emulate_bfloat16_does_not_have_it(monkeypatch, emulated):
    def supported(*, including_emulation):
        return including_emulation or not emulated

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert has_bfloat16(torch.device("cuda", 0)) is not emulated


def test_mixed_precision_is_that_of_the_cnns_own_device(monkeypatch):
    cnn = EfficientNetLite(EncoderName.LITE0, 32).to("meta")
    kinds = []

    class Recorder(torch.autocast):
        def __init__(self, kind, **settings):
            kinds.append(kind)
            super().__init__("cpu", enabled=False)

    monkeypatch.setattr(torch, "autocast", Recorder)
    found = features(cnn, torch.zeros(2, 32, 32, 3, dtype=torch.uint8), bfloat16=True)
    assert found.shape == (2, 1280)
    assert len(kinds) > 1
    assert set(kinds) == {"meta"}
