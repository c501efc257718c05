"""Sound pictures and model folders, and what random damage does to them.

Takes a random.Random, gives bytes: the same seed gives the same case, in any process. Some of the
damage is repaired where it would be found at once (checksums of PNG, hashes of model folders), so
that the code behind the check sees hostile bytes too.
"""

import hashlib
import io
import json
import math
import zlib
from collections.abc import Sequence
from functools import cache
from random import Random

import numpy as np
import onnx
import tiny
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def sound_pictures() -> dict[str, tuple[bytes, ...]]:
    """Small pictures of each format: modes, compressions, frames, EXIF."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), np.uint8)
    rgb = Image.fromarray(noise).resize((61, 43), Image.Resampling.BICUBIC)
    small = rgb.resize((16, 16))
    grey = rgb.convert("L")
    rgba = rgb.convert("RGBA")
    rgba.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    floats = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    more = [rgb.rotate(90, expand=False), rgb.rotate(180)]
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "JPEG": (
            _save(rgb, "JPEG", exif=exif),
            _save(small, "JPEG", progressive=True),
            _save(grey, "JPEG"),
            _save(rgb.convert("CMYK"), "JPEG"),
            _save(rgb, "MPO", more[:1]),
        ),
        "PNG": (
            _save(rgb, "PNG", exif=exif),
            _save(rgba, "PNG"),
            _save(deep, "PNG"),
            _save(grey.convert("1"), "PNG"),
            _save(small.quantize(16), "PNG", transparency=3),
            _save(rgba.convert("LA"), "PNG"),
            _save(rgb, "PNG", more),
        ),
        "WEBP": (
            _save(rgb, "WEBP", exif=exif),
            _save(rgba, "WEBP", lossless=True),
            _save(small, "WEBP"),
            _save(rgb, "WEBP", more),
        ),
        "GIF": (
            _save(rgb, "GIF"),
            _save(small.quantize(8), "GIF", transparency=1),
            _save(grey, "GIF", interlace=0),
            _save(rgb, "GIF", more),
        ),
        "BMP": (
            _save(rgb, "BMP"),
            _save(rgba, "BMP"),
            _save(small.quantize(16), "BMP"),
            _save(grey.convert("1"), "BMP"),
        ),
        "TIFF": (
            _save(rgb, "TIFF"),
            *(
                _save(rgb, "TIFF", compression=f"tiff_{name}")
                for name in ("lzw", "adobe_deflate", "jpeg")
            ),
            _save(rgb, "TIFF", compression="packbits"),
            _save(grey.convert("1"), "TIFF", compression="group4"),
            _save(deep, "TIFF"),
            _save(floats, "TIFF"),
            _save(rgb.convert("CMYK"), "TIFF"),
            _save(rgb, "TIFF", more),
        ),
        "AVIF": (
            _save(rgb, "AVIF", exif=exif),
            _save(rgba, "AVIF"),
            _save(small, "AVIF", quality=20),
            _save(small, "AVIF", [small.rotate(90)]),
        ),
    }


def _save(
    image: Image.Image, kind: str, more: Sequence[Image.Image] = (), **options: object
) -> bytes:
    buffer = io.BytesIO()
    # Copies, because saving as JPEG leaves its settings on the image.
    if more:
        options |= {"save_all": True, "append_images": [each.copy() for each in more]}
    image.copy().save(buffer, kind, **options)
    return buffer.getvalue()


def mutated_picture(random: Random) -> bytes:
    """A picture of one of the seven formats, damaged."""
    kind = random.choice(FORMATS)
    pictures = sound_pictures()
    data = damaged(random, random.choice(pictures[kind]), other=random.choice(pictures[kind]))
    return _with_right_sums(data) if kind == "PNG" and random.random() < 0.7 else data


def damaged(random: Random, data: bytes, *, other: bytes) -> bytes:
    """The bytes after one to four blows; `other` is what spans are spliced in from."""
    bytes_ = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        if not bytes_:
            break
        random.choice(_BLOWS)(random, bytes_, other)
    return bytes(bytes_)


def _flip_bits(random: Random, data: bytearray, other: bytes) -> None:
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _flip_header(random: Random, data: bytearray, other: bytes) -> None:
    data[random.randrange(min(len(data), 64))] = random.randrange(256)


def _cut(random: Random, data: bytearray, other: bytes) -> None:
    del data[random.randrange(len(data)) :]


def _drop(random: Random, data: bytearray, other: bytes) -> None:
    start, stop = _span(random, len(data))
    del data[start:stop]


def _repeat(random: Random, data: bytearray, other: bytes) -> None:
    start, stop = _span(random, len(data))
    data[start:start] = data[start:stop] * random.choice((1, 1, 2, 50))


def _splice(random: Random, data: bytearray, other: bytes) -> None:
    start, stop = _span(random, len(other))
    at = random.randrange(len(data))
    data[at : at + random.choice((0, stop - start))] = other[start:stop]


def _length(random: Random, data: bytearray, other: bytes) -> None:
    """An extreme number of one, two or four bytes, in either order."""
    size, order = random.choice((1, 2, 4)), random.choice(("big", "little"))
    value = random.choice(_EXTREMES) & ((1 << (8 * size)) - 1)
    reach = random.choice((len(data), min(len(data), 200)))
    at = random.randrange(reach)
    data[at : at + size] = value.to_bytes(size, order)


def _fill(random: Random, data: bytearray, other: bytes) -> None:
    start, stop = _span(random, len(data))
    data[start:stop] = random.choice((b"\0", b"\xff", bytes([random.randrange(256)]))) * (
        stop - start
    )


_BLOWS = (_flip_bits, _flip_header, _cut, _drop, _repeat, _splice, _length, _length, _fill)


def _span(random: Random, length: int) -> tuple[int, int]:
    start = random.randrange(length)
    return start, min(length, start + random.choice((1, 2, 4, 12, 40, 200, 2000)))


def _with_right_sums(data: bytes) -> bytes:
    """A PNG whose chunks have the checksums that belong to their bytes."""
    found = bytearray(data)
    at = 8
    while at + 12 <= len(found):
        end = at + 8 + int.from_bytes(found[at : at + 4], "big")
        if end + 4 > len(found):
            break
        found[end : end + 4] = zlib.crc32(found[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(found)


def mutated_bundle(random: Random) -> dict[str, bytes]:
    """The files of the tiny model, damaged; in two of three cases with right hashes again."""
    files = dict(_sound_bundle())
    repaired = random.random() < 2 / 3
    graphs = ("encoder.onnx", "step.onnx", "gradient.onnx")
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice((*graphs, *graphs, "prior.npy") if repaired else tuple(files))
        kind = random.random()
        if name.endswith(".json") and kind < 0.6:
            files[name] = _with_other_value(random, files[name])
        elif name.endswith(".onnx") and kind < 0.6:
            files[name] = _with_other_part(random, files[name])
        elif kind < 0.65:
            files[name] = files[random.choice(tuple(files))]
        elif kind < 0.67 and not repaired:
            del files[name]
        else:
            other = files[random.choice(tuple(files))] or b"\0"
            files[name] = damaged(random, files[name] or b"\0", other=other)
        if name not in files:
            break
    return _with_right_hashes(files) if repaired else files


@cache
def _sound_bundle() -> dict[str, bytes]:
    return tiny.files()


def _with_right_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    config = json.loads(files["config.json"])
    pair = config["precisions"]["float32"]
    for entry in (pair["encoder"], pair["step"], config["gradient"], config["prior"]):
        data = files[entry["file"]]
        entry["sha256"], entry["bytes"] = hashlib.sha256(data).hexdigest(), len(data)
    return {**files, "config.json": json.dumps(config).encode()}


_VALUES = (None, True, -1, 0, 1, 2**31, 2**63, 1e308, 0.5, "", "a", "../x.onnx", "\0", [], {})


def _with_other_value(random: Random, data: bytes) -> bytes:
    """The JSON with a value replaced, taken out, or doubled."""
    try:
        root = json.loads(data)
    except ValueError:
        return b"{}"
    places = [(box, key) for box, key in _places(root)]
    if not places:
        return b"[]"
    box, key = random.choice(places)
    blow = random.random()
    if blow < 0.7:
        box[key] = random.choice(_VALUES)
    elif blow < 0.85:
        del box[key]
    elif isinstance(box, list):
        box.insert(key, box[key])
    else:
        box[random.choice(("x", "file", "format", ""))] = box[key]
    return json.dumps(root).encode()


def _places(value: object):
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _with_other_part(random: Random, data: bytes) -> bytes:
    """The graph with one field of its protobuf changed: still a graph, no longer the same."""
    try:
        model = onnx.load_from_string(data)
    except Exception:
        return data
    graph = model.graph
    node = random.choice(graph.node) if graph.node else onnx.NodeProto()
    tensor = random.choice(graph.initializer) if graph.initializer else onnx.TensorProto()
    value = random.choice([*graph.input, *graph.output] or [onnx.ValueInfoProto()])
    names = [name for each in graph.node for name in (*each.input, *each.output)] or [""]
    extreme = random.choice((-(2**63), -1, 0, 1, 2, 7, 2**31, 2**40, 2**62, 2**63 - 1))
    blow = random.randrange(14)
    if blow == 0 and tensor.dims:
        tensor.dims[random.randrange(len(tensor.dims))] = extreme
    elif blow == 1:
        tensor.dims.append(random.choice((0, 1, 2, extreme)))
    elif blow == 2:
        tensor.data_type = random.randrange(0, 25)
    elif blow == 3:
        tensor.raw_data = damaged(random, tensor.raw_data or b"\0", other=b"\xff" * 8)
    elif blow == 4:
        node.op_type = random.choice(_OPERATORS)
    elif blow == 5 and node.input:
        node.input[random.randrange(len(node.input))] = random.choice((*names, "", "nowhere"))
    elif blow == 6 and node.output:
        node.output[random.randrange(len(node.output))] = random.choice((*names, ""))
    elif blow == 7:
        node.attribute.append(
            onnx.helper.make_attribute(random.choice(("axis", "keepdims", "to", "alpha")), extreme)
            if random.random() < 0.7
            else onnx.helper.make_attribute("axes", [extreme, 1])
        )
    elif blow == 8 and graph.node:
        graph.node.remove(node)
    elif blow == 9:
        graph.node.append(node)
    elif blow == 10:
        _change_shape(random, value, extreme)
    elif blow == 11:
        random.choice(model.opset_import or [onnx.OperatorSetIdProto()]).version = extreme
    elif blow == 12:
        model.ir_version = random.choice((0, 1, 3, 99, 2**40))
    else:
        number = random.choice((np.nan, np.inf, -1e38, 3e38))
        if min(tensor.dims, default=1) >= 0 and math.prod(tensor.dims) < 10_000:
            array = np.full(tuple(tensor.dims), number)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float32), tensor.name))
    return model.SerializeToString()


_OPERATORS = (
    "Add", "Reshape", "Expand", "Tile", "ConstantOfShape", "Loop", "If", "Gather", "GatherND",
    "ScatterND", "Conv", "Resize", "Slice", "Pad", "Transpose", "Range", "OneHot", "Identity",
    "Softmax", "NonZero", "TopK", "Split", "QLinearMatMul", "DequantizeLinear", "NoSuchOperator",
)  # fmt: skip


def _change_shape(random: Random, value: onnx.ValueInfoProto, extreme: int) -> None:
    kind = value.type.tensor_type
    if random.random() < 0.3:
        kind.elem_type = random.randrange(0, 25)
    elif kind.shape.dim and random.random() < 0.7:
        random.choice(kind.shape.dim).dim_value = extreme
    else:
        kind.shape.dim.add().dim_value = extreme
