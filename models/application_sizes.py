"""Models of ``keras.applications`` and the image sizes they were trained at, without Keras."""

import re

#: Side in pixels of the square images that each model of ``keras.applications`` was trained at.
APPLICATION_SIZES = {
    **dict.fromkeys(
        (
            "ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge",
            "DenseNet121", "DenseNet169", "DenseNet201", "EfficientNetB0", "EfficientNetV2B0",
            "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small", "NASNetMobile",
            "ResNet101", "ResNet101V2", "ResNet152", "ResNet152V2", "ResNet50", "ResNet50V2",
            "VGG16", "VGG19",
        ),
        224,
    ),
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2L": 480,
    "EfficientNetV2M": 480,
    "EfficientNetV2S": 384,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}  # fmt: skip


def application_like(name: str) -> str | None:
    """Return the ``keras.applications`` model of this name, ignoring case and punctuation."""
    known = {_letters(one): one for one in APPLICATION_SIZES}
    return known.get(_letters(name))


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()
