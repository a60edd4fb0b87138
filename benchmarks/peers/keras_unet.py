"""The same network in Keras on JAX, for images and volumes; needs the extra `bench`."""

import os

import numpy as np

from benchmarks.peers.case import CLASSES, INFERENCE, LEARNING_RATE, STEP, Case
from benchmarks.workers import Work

os.environ["KERAS_BACKEND"] = "jax"  # which Keras reads when it is imported

import keras
from keras import layers


def build(case: Case) -> keras.Model:
    """The U-Net of a case, and its head."""
    axes = len(case.space)

    def layer(name: str, *arguments: object, **options: object) -> keras.layers.Layer:
        return getattr(layers, name.replace("N", str(axes)))(*arguments, **options)

    def block(x: keras.KerasTensor, features: int) -> keras.KerasTensor:
        for _ in range(case.convs_per_block):
            x = layer("ConvND", features, 3, padding=case.padding)(x)
            if case.norm == "batch":
                x = layers.BatchNormalization(epsilon=1e-5)(x)
            x = layers.ReLU()(x)
        return x

    image = keras.Input((*case.space, 1))
    x, skips = image, []
    for stage in range(case.depth):
        x = block(x, case.features * 2**stage)
        skips.append(x)
        x = layer("MaxPoolingND", 2)(x)
    x = block(x, case.features * 2**case.depth)
    for stage in reversed(range(case.depth)):
        u, e = layer("ConvNDTranspose", case.features * 2**stage, 2, strides=2)(x), skips.pop()
        lost = [have - want for have, want in zip(e.shape[1:-1], u.shape[1:-1], strict=True)]
        e = layer("CroppingND", [(n // 2, n - n // 2) for n in lost])(e) if any(lost) else e
        x = layers.Concatenate()([u, e]) if case.skip == "concat" else layers.Add()([u, e])
        x = block(x, case.features * 2**stage)
    return keras.Model(image, layer("ConvND", CLASSES, 1, dtype="float32")(x))


def make(case: Case) -> Work:
    """What is timed: `train_on_batch` and `predict_on_batch`, which give their results to NumPy."""
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if case.dtype == "bfloat16" else "float32")
    images, labels = case.data()
    model = build(case)
    model.compile(keras.optimizers.Adam(LEARNING_RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return Work(
        parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        calls={
            INFERENCE: lambda: model.predict_on_batch(images),
            STEP: lambda: model.train_on_batch(images, labels),
        },
    )
