import pytest

from mrnn_edge.device import Device, DeviceKind


@pytest.mark.parametrize("cudas", [{"index": 1}, {"captured": True}])
def test_the_cpu_has_neither_a_number_nor_cuda_graphs(cudas):
    with pytest.raises(ValueError, match="only CUDA"):
        Device(kind=DeviceKind.CPU, **cudas)
