"""Messages of Caffe's files, as far as they are needed to build a network.

Names, numbers and defaults of the fields are those that Caffe 1.0 writes; fields that are not
listed are skipped when a file is read. The messages are made when they are first used, so that no
code has to be generated.
"""

from functools import lru_cache
from typing import Any

#: Types of fields: protobuf's names of scalars, or the name of a message or enumeration.
_FIELDS: dict[str, dict[str, tuple[int, str, Any]]] = {
    # name: (number, type, default); a type that ends with "*" is repeated.
    "BlobShape": {"dim": (1, "int64*", "packed")},
    "BlobProto": {
        "num": (1, "int32", None),
        "channels": (2, "int32", None),
        "height": (3, "int32", None),
        "width": (4, "int32", None),
        "data": (5, "float*", "packed"),
        "shape": (7, "BlobShape", None),
        "double_data": (8, "double*", "packed"),
    },
    "NetStateRule": {"phase": (1, "Phase", None)},
    "TransformationParameter": {
        "scale": (1, "float", "1"),
        "mirror": (2, "bool", "false"),
        "crop_size": (3, "uint32", "0"),
        "mean_file": (4, "string", None),
        "mean_value": (5, "float*", None),
    },
    "FillerParameter": {
        "type": (1, "string", "constant"),
        "value": (2, "float", "0"),
        "min": (3, "float", "0"),
        "max": (4, "float", "1"),
        "mean": (5, "float", "0"),
        "std": (6, "float", "1"),
        "variance_norm": (8, "VarianceNorm", "FAN_IN"),
    },
    "ConvolutionParameter": {
        "num_output": (1, "uint32", None),
        "bias_term": (2, "bool", "true"),
        "pad": (3, "uint32*", None),
        "kernel_size": (4, "uint32*", None),
        "group": (5, "uint32", "1"),
        "stride": (6, "uint32*", None),
        "weight_filler": (7, "FillerParameter", None),
        "bias_filler": (8, "FillerParameter", None),
        "pad_h": (9, "uint32", "0"),
        "pad_w": (10, "uint32", "0"),
        "kernel_h": (11, "uint32", None),
        "kernel_w": (12, "uint32", None),
        "stride_h": (13, "uint32", None),
        "stride_w": (14, "uint32", None),
        "dilation": (18, "uint32*", None),
    },
    "PoolingParameter": {
        "pool": (1, "PoolMethod", "MAX"),
        "kernel_size": (2, "uint32", None),
        "stride": (3, "uint32", "1"),
        "pad": (4, "uint32", "0"),
        "kernel_h": (5, "uint32", None),
        "kernel_w": (6, "uint32", None),
        "stride_h": (7, "uint32", None),
        "stride_w": (8, "uint32", None),
        "pad_h": (9, "uint32", "0"),
        "pad_w": (10, "uint32", "0"),
        "global_pooling": (12, "bool", "false"),
        "round_mode": (13, "RoundMode", "CEIL"),
    },
    "InnerProductParameter": {
        "num_output": (1, "uint32", None),
        "bias_term": (2, "bool", "true"),
        "weight_filler": (3, "FillerParameter", None),
        "bias_filler": (4, "FillerParameter", None),
        "axis": (5, "int32", "1"),
        "transpose": (6, "bool", "false"),
    },
    "LRNParameter": {
        "local_size": (1, "uint32", "5"),
        "alpha": (2, "float", "1"),
        "beta": (3, "float", "0.75"),
        "norm_region": (4, "NormRegion", "ACROSS_CHANNELS"),
        "k": (5, "float", "1"),
    },
    "BatchNormParameter": {
        "use_global_stats": (1, "bool", None),
        "moving_average_fraction": (2, "float", "0.999"),
        "eps": (3, "float", "1e-5"),
    },
    "ScaleParameter": {
        "axis": (1, "int32", "1"),
        "num_axes": (2, "int32", "1"),
        "bias_term": (4, "bool", "false"),
    },
    "EltwiseParameter": {
        "operation": (1, "EltwiseOp", "SUM"),
        "coeff": (2, "float*", None),
    },
    "ConcatParameter": {"concat_dim": (1, "uint32", "1"), "axis": (2, "int32", "1")},
    "DropoutParameter": {"dropout_ratio": (1, "float", "0.5")},
    "ReLUParameter": {"negative_slope": (1, "float", "0")},
    "PReLUParameter": {"channel_shared": (2, "bool", "false")},
    "ELUParameter": {"alpha": (1, "float", "1")},
    "FlattenParameter": {"axis": (1, "int32", "1"), "end_axis": (2, "int32", "-1")},
    "ReshapeParameter": {
        "shape": (1, "BlobShape", None),
        "axis": (2, "int32", "0"),
        "num_axes": (3, "int32", "-1"),
    },
    "SoftmaxParameter": {"axis": (2, "int32", "1")},
    "PowerParameter": {
        "power": (1, "float", "1"),
        "scale": (2, "float", "1"),
        "shift": (3, "float", "0"),
    },
    "InputParameter": {"shape": (1, "BlobShape*", None)},
    "DataParameter": {"source": (1, "string", None), "batch_size": (4, "uint32", None)},
    "ImageDataParameter": {
        "source": (1, "string", None),
        "batch_size": (4, "uint32", "1"),
        "root_folder": (12, "string", None),
    },
    "MemoryDataParameter": {
        "batch_size": (1, "uint32", None),
        "channels": (2, "uint32", None),
        "height": (3, "uint32", None),
        "width": (4, "uint32", None),
        # Of CaffeOnSpark, which has the images of an LMDB or a DataFrame sent to this layer.
        "source": (5, "string", None),
    },
    "ParamSpec": {"lr_mult": (3, "float", "1"), "decay_mult": (4, "float", "1")},
    "LayerParameter": {
        "name": (1, "string", None),
        "type": (2, "string", None),
        "bottom": (3, "string*", None),
        "top": (4, "string*", None),
        "param": (6, "ParamSpec*", None),
        "blobs": (7, "BlobProto*", None),
        "include": (8, "NetStateRule*", None),
        "exclude": (9, "NetStateRule*", None),
        "transform_param": (100, "TransformationParameter", None),
        "concat_param": (104, "ConcatParameter", None),
        "convolution_param": (106, "ConvolutionParameter", None),
        "data_param": (107, "DataParameter", None),
        "dropout_param": (108, "DropoutParameter", None),
        "eltwise_param": (110, "EltwiseParameter", None),
        "image_data_param": (115, "ImageDataParameter", None),
        "inner_product_param": (117, "InnerProductParameter", None),
        "lrn_param": (118, "LRNParameter", None),
        "memory_data_param": (119, "MemoryDataParameter", None),
        "pooling_param": (121, "PoolingParameter", None),
        "relu_param": (123, "ReLUParameter", None),
        "power_param": (122, "PowerParameter", None),
        "softmax_param": (125, "SoftmaxParameter", None),
        "prelu_param": (131, "PReLUParameter", None),
        "reshape_param": (133, "ReshapeParameter", None),
        "flatten_param": (135, "FlattenParameter", None),
        "batch_norm_param": (139, "BatchNormParameter", None),
        "elu_param": (140, "ELUParameter", None),
        "scale_param": (142, "ScaleParameter", None),
        "input_param": (143, "InputParameter", None),
    },
    # The form of layers before 2014, which many published files still have.
    "V1LayerParameter": {
        "bottom": (2, "string*", None),
        "top": (3, "string*", None),
        "name": (4, "string", None),
        "type": (5, "V1LayerType", None),
        "blobs": (6, "BlobProto*", None),
        "concat_param": (9, "ConcatParameter", None),
        "convolution_param": (10, "ConvolutionParameter", None),
        "data_param": (11, "DataParameter", None),
        "dropout_param": (12, "DropoutParameter", None),
        "image_data_param": (15, "ImageDataParameter", None),
        "inner_product_param": (17, "InnerProductParameter", None),
        "lrn_param": (18, "LRNParameter", None),
        "pooling_param": (19, "PoolingParameter", None),
        "memory_data_param": (22, "MemoryDataParameter", None),
        "eltwise_param": (24, "EltwiseParameter", None),
        "relu_param": (30, "ReLUParameter", None),
        "include": (32, "NetStateRule*", None),
        "exclude": (33, "NetStateRule*", None),
        "transform_param": (36, "TransformationParameter", None),
        "softmax_param": (39, "SoftmaxParameter", None),
    },
    "NetParameter": {
        "name": (1, "string", None),
        "layers": (2, "V1LayerParameter*", None),
        "input": (3, "string*", None),
        "input_dim": (4, "int32*", None),
        "input_shape": (8, "BlobShape*", None),
        "layer": (100, "LayerParameter*", None),
    },
    "SolverParameter": {
        "train_net": (1, "string", None),
        "test_net": (2, "string*", None),
        "test_iter": (3, "int32*", None),
        "test_interval": (4, "int32", None),
        "base_lr": (5, "float", None),
        "display": (6, "int32", None),
        "max_iter": (7, "int32", None),
        "lr_policy": (8, "string", None),
        "gamma": (9, "float", None),
        "power": (10, "float", None),
        "momentum": (11, "float", None),
        "weight_decay": (12, "float", None),
        "stepsize": (13, "int32", None),
        "snapshot": (14, "int32", None),
        "snapshot_prefix": (15, "string", None),
        "snapshot_diff": (16, "bool", None),
        "solver_mode": (17, "SolverMode", None),
        "device_id": (18, "int32", None),
        "test_compute_loss": (19, "bool", None),
        "random_seed": (20, "int64", None),
        "debug_info": (23, "bool", None),
        "net": (24, "string", None),
        "snapshot_after_train": (28, "bool", None),
        "regularization_type": (29, "string", None),
        "solver_type": (30, "SolverType", None),
        "delta": (31, "float", None),
        "test_initialization": (32, "bool", None),
        "average_loss": (33, "int32", None),
        "stepvalue": (34, "int32*", None),
        "clip_gradients": (35, "float", None),
        "iter_size": (36, "int32", "1"),
        "snapshot_format": (37, "SnapshotFormat", None),
        "rms_decay": (38, "float", None),
        "momentum2": (39, "float", None),
        "type": (40, "string", None),
        "layer_wise_reduce": (41, "bool", None),
        "weights": (42, "string*", None),
    },
}
_ENUMERATIONS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "PoolMethod": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "RoundMode": {"CEIL": 0, "FLOOR": 1},
    "NormRegion": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "EltwiseOp": {"PROD": 0, "SUM": 1, "MAX": 2},
    "VarianceNorm": {"FAN_IN": 0, "FAN_OUT": 1, "AVERAGE": 2},
    "SolverMode": {"CPU": 0, "GPU": 1},
    "SolverType": {
        "SGD": 0, "NESTEROV": 1, "ADAGRAD": 2, "RMSPROP": 3, "ADADELTA": 4, "ADAM": 5,
    },
    "SnapshotFormat": {"HDF5": 0, "BINARYPROTO": 1},
    "V1LayerType": {
        "NONE": 0, "ACCURACY": 1, "BNLL": 2, "CONCAT": 3, "CONVOLUTION": 4, "DATA": 5,
        "DROPOUT": 6, "EUCLIDEAN_LOSS": 7, "FLATTEN": 8, "HDF5_DATA": 9, "HDF5_OUTPUT": 10,
        "IM2COL": 11, "IMAGE_DATA": 12, "INFOGAIN_LOSS": 13, "INNER_PRODUCT": 14, "LRN": 15,
        "MULTINOMIAL_LOGISTIC_LOSS": 16, "POOLING": 17, "RELU": 18, "SIGMOID": 19, "SOFTMAX": 20,
        "SOFTMAX_LOSS": 21, "SPLIT": 22, "TANH": 23, "WINDOW_DATA": 24, "ELTWISE": 25, "POWER": 26,
        "SIGMOID_CROSS_ENTROPY_LOSS": 27, "HINGE_LOSS": 28, "MEMORY_DATA": 29, "ARGMAX": 30,
        "THRESHOLD": 31, "DUMMY_DATA": 32, "SLICE": 33, "MVN": 34, "ABSVAL": 35, "SILENCE": 36,
        "CONTRASTIVE_LOSS": 37, "EXP": 38, "DECONVOLUTION": 39,
    },
}  # fmt: skip
#: Types of layers in their present form, where it is not the old one in capitals.
TYPES = {
    "ABSVAL": "AbsVal",
    "BNLL": "BNLL",
    "DATA": "Data",
    "HDF5_DATA": "HDF5Data",
    "IMAGE_DATA": "ImageData",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}


@lru_cache(maxsize=1)
def messages() -> dict[str, Any]:
    """Return the classes of the messages by name."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="sparkdl_bench/caffe.proto", package="sparkdl_bench.caffe", syntax="proto2"
    )
    for name, values in _ENUMERATIONS.items():
        # Names of values are unique in a file, so each enumeration has a message of its own.
        made = file.message_type.add(name=f"{name}Values").enum_type.add(name=name)
        for value, number in values.items():
            made.value.add(name=value, number=number)
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, written, default) in fields.items():
            added = message.field.add(name=field, number=number)
            repeated, kind = written.endswith("*"), written.removesuffix("*")
            added.label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            if kind in _FIELDS:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".sparkdl_bench.caffe.{kind}"
            elif kind in _ENUMERATIONS:
                added.type = kinds.TYPE_ENUM
                added.type_name = f".sparkdl_bench.caffe.{kind}Values.{kind}"
            else:
                added.type = getattr(kinds, f"TYPE_{kind.upper()}")
            if default == "packed":
                added.options.packed = True
            elif default is not None:
                added.default_value = default
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"sparkdl_bench.caffe.{name}")
        )
        for name in _FIELDS
    }
