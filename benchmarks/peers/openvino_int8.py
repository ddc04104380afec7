"""OpenVINO + NNCF int8 of an exported fp32 graph, by the path its documentation gives.

usage: python benchmarks/peers/openvino_int8.py MODEL.onnx OUT.xml    (requirements-openvino.txt)

nncf.quantize with the transformer model type, which turns SmoothQuant on; calibrated on random
tokens, which is enough for speed.
"""

import sys

import nncf
import numpy as np
import openvino

rng = np.random.default_rng(0)
core = openvino.Core()
model = core.read_model(sys.argv[1])
names = [next(iter(port.get_names())) for port in model.inputs]


def example(length: int) -> dict[str, np.ndarray]:
    ids = rng.integers(1000, 20000, (1, length))
    values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    return {name: values.get(name, np.zeros_like(ids)) for name in names}


calibration = nncf.Dataset([example(length) for length in (16, 32, 64, 128) * 10])
quantized = nncf.quantize(model, calibration, model_type=nncf.ModelType.TRANSFORMER)
openvino.save_model(quantized, sys.argv[2], compress_to_fp16=False)
