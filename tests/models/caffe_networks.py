"""Caffe networks as definitions and random weights, written from the tables of their papers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.caffe.schema import messages

Shape = tuple[int, int, int]


class Net:
    """Writes the layers of a definition one after the other."""

    def __init__(self, name: str, shape: Shape, transform: str = "") -> None:
        dimensions = " ".join(f"dim: {size}" for size in (1, *shape))
        self.text = (
            f'name: "{name}"\nlayer {{ name: "data" type: "Input" top: "data" '
            f"input_param {{ shape {{ {dimensions} }} }} {transform} }}\n"
        )
        self.top = "data"

    def layer(
        self, kind: str, name: str, parameters: str = "", *, bottoms: Sequence[str] = (),
        in_place: bool = False,
    ) -> str:  # fmt: skip
        """Add a layer after ``bottoms`` (the last top by default) and return its top."""
        bottoms = bottoms or [self.top]
        self.top = bottoms[0] if in_place else name
        read = " ".join(f'bottom: "{one}"' for one in bottoms)
        self.text += (
            f'layer {{ name: "{name}" type: "{kind}" {read} top: "{self.top}" {parameters} }}\n'
        )
        return self.top

    def conv(self, name: str, outputs: int, kernel: int, more: str = "", **where: Any) -> str:
        """Add a convolution."""
        inner = f"num_output: {outputs} kernel_size: {kernel} {more}"
        return self.layer("Convolution", name, f"convolution_param {{ {inner} }}", **where)

    def pool(self, name: str, kind: str, kernel: int, stride: int, more: str = "") -> str:
        """Add a pooling."""
        inner = f"pool: {kind} kernel_size: {kernel} stride: {stride} {more}"
        return self.layer("Pooling", name, f"pooling_param {{ {inner} }}")

    def relu(self, name: str) -> str:
        """Add a rectifier in place."""
        return self.layer("ReLU", name, in_place=True)

    def inner(self, name: str, outputs: int) -> str:
        """Add an inner product."""
        parameters = f"inner_product_param {{ num_output: {outputs} }}"
        return self.layer("InnerProduct", name, parameters)

    def lrn(self, name: str) -> str:
        """Add the normalization of AlexNet."""
        return self.layer("LRN", name, "lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")


def alexnet(side: int, classes: int, *, pools_first: bool = False) -> Net:
    """AlexNet (A. Krizhevsky et al., 2012); CaffeNet pools before it normalizes."""
    net = Net("CaffeNet" if pools_first else "AlexNet", (3, side, side))
    net.conv("conv1", 96, 11, "stride: 4")
    net.relu("relu1")
    _normalized(net, 1, pools_first=pools_first)
    net.conv("conv2", 256, 5, "pad: 2 group: 2")
    net.relu("relu2")
    _normalized(net, 2, pools_first=pools_first)
    for number, outputs, groups in ((3, 384, 1), (4, 384, 2), (5, 256, 2)):
        net.conv(f"conv{number}", outputs, 3, f"pad: 1 group: {groups}")
        net.relu(f"relu{number}")
    net.pool("pool5", "MAX", 3, 2)
    for number in (6, 7):
        net.inner(f"fc{number}", 256)
        net.relu(f"relu{number}")
        net.layer("Dropout", f"drop{number}", "dropout_param { dropout_ratio: 0.5 }", in_place=True)
    net.inner("fc8", classes)
    net.layer("Softmax", "prob")
    return net


def _normalized(net: Net, number: int, *, pools_first: bool) -> None:
    if pools_first:
        net.pool(f"pool{number}", "MAX", 3, 2)
        net.lrn(f"norm{number}")
    else:
        net.lrn(f"norm{number}")
        net.pool(f"pool{number}", "MAX", 3, 2)


def vgg16(side: int, classes: int) -> Net:
    """VGG-16 (K. Simonyan and A. Zisserman, 2014, table 1, column D)."""
    net = Net("VGG16", (3, side, side))
    for block, (outputs, count) in enumerate(
        ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1
    ):
        for number in range(1, count + 1):
            net.conv(f"conv{block}_{number}", outputs, 3, "pad: 1")
            net.relu(f"relu{block}_{number}")
        net.pool(f"pool{block}", "MAX", 2, 2)
    for number in (6, 7):
        net.inner(f"fc{number}", 256)
        net.relu(f"relu{number}")
    net.inner("fc8", classes)
    net.layer("Softmax", "prob")
    return net


#: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5 and pool projection (C. Szegedy et al., 2014).
_INCEPTIONS = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


def googlenet(side: int, classes: int) -> Net:
    """GoogLeNet (C. Szegedy et al., 2014, table 1)."""
    net = Net("GoogLeNet", (3, side, side))
    net.conv("conv1/7x7_s2", 64, 7, "pad: 3 stride: 2")
    net.relu("conv1/relu")
    net.pool("pool1/3x3_s2", "MAX", 3, 2)
    net.lrn("pool1/norm1")
    net.conv("conv2/3x3_reduce", 64, 1)
    net.relu("conv2/relu_reduce")
    net.conv("conv2/3x3", 192, 3, "pad: 1")
    net.relu("conv2/relu")
    net.lrn("conv2/norm2")
    net.pool("pool2/3x3_s2", "MAX", 3, 2)
    for name, sizes in _INCEPTIONS.items():
        if name in ("4a", "5a"):
            net.pool(f"pool_{name}", "MAX", 3, 2)
        _inception(net, f"inception_{name}", sizes)
    net.pool("pool5", "AVE", max(1, -(-side // 32)), 1)
    net.layer("Dropout", "drop", "dropout_param { dropout_ratio: 0.4 }", in_place=True)
    net.inner("loss3/classifier", classes)
    net.layer("Softmax", "prob")
    return net


def _inception(net: Net, name: str, sizes: Sequence[int]) -> None:
    start, tops = net.top, []
    for kernel, reduced, outputs in ((1, 0, sizes[0]), (3, *sizes[1:3]), (5, *sizes[3:5])):
        net.top = start
        if reduced:
            net.conv(f"{name}/{kernel}x{kernel}_reduce", reduced, 1)
            net.relu(f"{name}/relu_{kernel}_reduce")
        net.conv(f"{name}/{kernel}x{kernel}", outputs, kernel, f"pad: {kernel // 2}")
        tops.append(net.relu(f"{name}/relu_{kernel}"))
    net.top = start
    net.pool(f"{name}/pool", "MAX", 3, 1, "pad: 1")
    net.conv(f"{name}/pool_proj", sizes[5], 1)
    tops.append(net.relu(f"{name}/relu_pool"))
    net.layer("Concat", f"{name}/output", bottoms=tops)


def resnet50(side: int, classes: int) -> Net:
    """ResNet-50 (K. He et al., 2015, table 1)."""
    net = Net("ResNet50", (3, side, side))
    _convolved(net, "conv1", 64, 7, "pad: 3 stride: 2")
    net.relu("conv1_relu")
    net.pool("pool1", "MAX", 3, 2)
    for stage, (width, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=2):
        for number in range(count):
            _residual(net, f"res{stage}{'abcdef'[number]}", width, number == 0, stage)
    net.layer("Pooling", "pool5", "pooling_param { pool: AVE global_pooling: true }")
    net.inner("fc1000", classes)
    net.layer("Softmax", "prob")
    return net


def _residual(net: Net, name: str, width: int, projects: bool, stage: int) -> None:
    start = shortcut = net.top
    stride = 2 if projects and stage > 2 else 1
    if projects:
        shortcut = _convolved(net, f"{name}_branch1", 4 * width, 1, f"stride: {stride}")
    net.top = start
    _convolved(net, f"{name}_branch2a", width, 1, f"stride: {stride}")
    net.relu(f"{name}_branch2a_relu")
    _convolved(net, f"{name}_branch2b", width, 3, "pad: 1")
    net.relu(f"{name}_branch2b_relu")
    last = _convolved(net, f"{name}_branch2c", 4 * width, 1)
    net.layer("Eltwise", name, bottoms=[shortcut, last])
    net.relu(f"{name}_relu")


def _convolved(net: Net, name: str, outputs: int, kernel: int, more: str = "") -> str:
    net.conv(name, outputs, kernel, f"bias_term: false {more}")
    net.layer("BatchNorm", f"bn_{name}", "batch_norm_param { use_global_stats: true }",
              in_place=True)  # fmt: skip
    return net.layer("Scale", f"scale_{name}", "scale_param { bias_term: true }", in_place=True)


def every_layer(side: int, classes: int) -> Net:
    """A network with the layers and settings that the published ones lack."""
    transform = "transform_param { scale: 0.02 mean_value: 90 mean_value: 100 mean_value: 110 }"
    net = Net("every_layer", (3, side, side), transform)
    net.conv("first", 8, 3, "stride: 2 pad_h: 1 pad_w: 2")
    net.layer("PReLU", "prelu", in_place=True)
    net.pool("ceil", "MAX", 3, 2, "pad: 1")
    net.conv("dilated", 8, 3, "pad: 2 dilation: 2 group: 4")
    left = net.layer("ELU", "elu", "elu_param { alpha: 0.7 }")
    right = net.layer("TanH", "tanh", bottoms=["dilated"])
    net.layer("Eltwise", "product", "eltwise_param { operation: PROD }", bottoms=[left, right])
    net.layer(
        "Eltwise", "weighted", "eltwise_param { operation: SUM coeff: 0.5 coeff: -2 }",
        bottoms=["product", "elu"],
    )  # fmt: skip
    net.layer("Eltwise", "maximum", "eltwise_param { operation: MAX }", bottoms=["weighted", "elu"])
    net.pool("average", "AVE", 3, 2, "pad: 1")
    net.layer("ReLU", "leaky", "relu_param { negative_slope: 0.1 }", in_place=True)
    net.layer("Flatten", "flat")
    net.inner("hidden", 16)
    net.layer("Sigmoid", "sigmoid", in_place=True)
    net.inner("scores", classes)
    net.layer("Softmax", "prob")
    return net


def write_weights(path: Path, layers: Iterable[tuple[str, Sequence[np.ndarray]]]) -> None:
    """Write weights by names of layers as Caffe does."""
    content = messages()["NetParameter"]()
    for name, arrays in layers:
        layer = content.layer.add(name=name)
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    path.write_bytes(content.SerializeToString())


def random_weights(text: str, shape: Shape, classes: int) -> list[tuple[str, list[np.ndarray]]]:
    """Return weights with which activations keep their size through the network.

    The shapes are computed from the definition alone, independently of the translation.
    """
    from google.protobuf import text_format

    content = text_format.Parse(text, messages()["NetParameter"]())
    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"data": shape}
    found = []
    for layer in content.layer[1:]:
        first = shapes[layer.bottom[0]]
        arrays: list[np.ndarray] = []
        if layer.type == "Convolution":
            one = layer.convolution_param
            kernel = one.kernel_size[0]
            fans = first[0] // one.group * kernel * kernel
            size = (one.num_output, first[0] // one.group, kernel, kernel)
            arrays.append(generator.normal(0, np.sqrt(2 / fans), size))
            if one.bias_term:
                arrays.append(generator.normal(0, 0.1, one.num_output))
            height, width = (
                _convolution_size(length, one, axis) for axis, length in enumerate(first[1:])
            )
            first = (one.num_output, height, width)
        elif layer.type == "InnerProduct":
            count = int(np.prod(first))
            outputs = layer.inner_product_param.num_output
            arrays.append(generator.normal(0, np.sqrt(2 / count), (outputs, count)))
            arrays.append(generator.normal(0, 0.1, outputs))
            first = (outputs,)
        elif layer.type == "BatchNorm":
            arrays = [generator.normal(0, 1, first[0]), generator.uniform(1, 2, first[0])]
            arrays.append(np.array([2.0]))
        elif layer.type == "Scale":
            arrays = [generator.uniform(0.3, 0.6, first[0]), generator.normal(0, 0.1, first[0])]
        elif layer.type == "PReLU":
            arrays = [generator.uniform(0.1, 0.5, first[0])]
        elif layer.type == "Pooling":
            first = (first[0], *(_pooled(length, layer.pooling_param) for length in first[1:]))
        elif layer.type == "Concat":
            first = (sum(shapes[name][0] for name in layer.bottom), *first[1:])
        elif layer.type == "Flatten":
            first = (int(np.prod(first)),)
        shapes[layer.top[0]] = first
        if arrays:
            found.append((layer.name, [array.astype(np.float32) for array in arrays]))
    assert shapes["prob"] == (classes,)
    return found


def _convolution_size(length: int, one: Any, axis: int) -> int:
    pad = [one.pad_h, one.pad_w][axis] if one.HasField("pad_h") else (one.pad[:1] or [0])[0]
    stride, rate = (one.stride[:1] or [1])[0], (one.dilation[:1] or [1])[0]
    return (length + 2 * pad - (rate * (one.kernel_size[0] - 1) + 1)) // stride + 1


def _pooled(length: int, one: Any) -> int:
    if one.global_pooling:
        return 1
    number = -(-(length + 2 * one.pad - one.kernel_size) // one.stride) + 1
    if one.pad and (number - 1) * one.stride >= length + one.pad:
        number -= 1
    return number
