"""A device that is not there: its tensors say that they are elsewhere, the CPU computes them.

As on a GPU, an operation on tensors of two places fails, but for copies, lone numbers and indices.
It draws from the CPU's generator, so that what it computes is what the CPU would, to the last bit.

PyTorch lets a device be written in Python (PrivateUse1, 2.13: experimental), once a process and for
good, so tests that need one start a process: `python other_device.py FOLDER` trains there.
"""

import json
import sys
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from mrnn_edge_train.data.mixture import Source
from mrnn_edge_train.loop import Plan, resume, train
from mrnn_edge_train.prepare import prepare
from mrnn_edge_train.recipe import recipe_from_dict

NAME = "elsewhere"
aten = torch.ops.aten


class Module(_DummyBackendModule):
    """What `torch.cuda` is to a GPU."""

    def __init__(self):
        self.state = torch.arange(16, dtype=torch.uint8)
        self.restored = []

    def get_device_name(self, device):
        return "no device"

    def get_rng_state(self, device):
        return self.state

    def set_rng_state(self, state, device):
        self.restored.append(state.tolist())

    def get_amp_supported_dtype(self):
        return [torch.bfloat16]


class Elsewhere(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Device(TorchDispatchMode):
    """While it is entered, the device is there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation, args, kwargs):
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, Elsewhere)]
    here = [each for each in tensors if not isinstance(each, Elsewhere) and each.dim()]
    free = (aten._to_copy.default, aten.copy_.default, aten.index.Tensor)
    if there and here and operation not in free:
        raise RuntimeError(f"{operation}: tensors of the CPU and of another device")
    if kwargs.get("device") is not None:
        goes = torch.device(kwargs["device"]).type == NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif operation is aten.copy_.default:
        goes = isinstance(args[0], Elsewhere)
    else:
        goes = bool(there)
    known = {id(each.inner): each for each in there}
    args, kwargs = tree_map(
        lambda each: each.inner if isinstance(each, Elsewhere) else each, (args, kwargs)
    )

    def place(found):
        if not goes or not isinstance(found, torch.Tensor):
            return found
        return known[id(found)] if id(found) in known else Elsewhere(found)

    return tree_map(place, operation(*args, **kwargs))


def main(folder):
    torch.set_num_threads(1)
    module = Module()
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)
    recipe = recipe_from_dict(json.loads((folder / "recipe.json").read_text()), "recipe.json")
    data = folder / "set"
    with Device():
        there = torch.device(NAME, 0)
        prepared = prepare(recipe, data, cache=folder / "cache", device=there)
        for name, steps in (("begun", 14), ("whole", 3)):
            done = iter(range(1, 100))
            plan = Plan(recipe=recipe, sources=(Source(path=data),), seed=1)

            def stop(done=done, last=steps):
                return next(done) == last

            list(train(plan, prepared, folder / name, stop=stop))
        list(resume(prepared, folder / "whole"))
        module.state += 1
        restored = len(module.restored)
        list(resume(prepared, folder / "from the CPU"))
    facts = {
        "restored": module.restored[:restored],
        "restored from the CPU": module.restored[restored:],
    }
    (folder / "facts.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
