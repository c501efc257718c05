"""An encoder of three convolutions as export writes one, for the tiny model; weights at random.

The front, the layers and their order are those of the real one: a strided 3 x 3, a depthwise, a
1 x 1 with a residual sum, the mean over places, V_I.
"""

import numpy as np
import onnx
import tiny
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 10


def encoder(metadata: dict[str, str], *, seed: int = 1) -> bytes:
    random = np.random.default_rng(seed)
    shapes = {
        "stem.weight": (CHANNELS, 3, 3, 3),
        "depthwise.weight": (CHANNELS, 1, 3, 3),
        "project.weight": (CHANNELS, CHANNELS, 1, 1),
        "projection.weight": (tiny.IMAGE, CHANNELS),
    }
    constants = {
        name: random.normal(0, 1.5 / np.sqrt(np.prod(shape[1:])), shape)
        for name, shape in shapes.items()
    }
    for name in ("stem", "depthwise", "project"):
        constants[f"{name}.bias"] = random.normal(0.5, 0.5, CHANNELS)
    constants |= {"projection.bias": random.normal(0, 1, tiny.IMAGE)}
    constants |= {"middle": np.array(127), "scale": np.array(1 / 128)}
    constants |= {"zero": np.array(0), "six": np.array(6)}
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["channels"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["channels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["floats", "middle"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "scale"], ["normal"]),
        _conv("stem", "normal", strides=[2, 2], **window),
        helper.make_node("Clip", ["stem", "zero", "six"], ["stem_cut"]),
        _conv("depthwise", "stem_cut", group=CHANNELS, **window),
        helper.make_node("Clip", ["depthwise", "zero", "six"], ["depthwise_cut"]),
        _conv("project", "depthwise_cut", kernel_shape=[1, 1]),
        helper.make_node("Add", ["project", "stem_cut"], ["joined"]),
        helper.make_node("ReduceMean", ["joined", "places"], ["mean"], keepdims=0),
        helper.make_node(
            "Gemm", ["mean", "projection.weight", "projection.bias"], ["image"], transB=1
        ),
    ]
    initializers = [
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()
    ]
    initializers.append(numpy_helper.from_array(np.array([2, 3], np.int64), "places"))
    side = tiny.SIDE
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", side, side, 3])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", tiny.IMAGE])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _conv(name: str, entry: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node("Conv", [entry, f"{name}.weight", f"{name}.bias"], [name], **attributes)
