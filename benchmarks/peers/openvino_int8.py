"""OpenVINO + NNCF int8 of an exported fp32 graph, by the path its documentation gives.

usage: python benchmarks/peers/openvino_int8.py MODEL.onnx OUT.xml [TEXTS.json TOKENIZER.json]

nncf.quantize with the transformer model type, which turns SmoothQuant on; calibrated on the texts
(a list of lists of one or two strings), or else on random tokens, which is enough for speed.
Needs requirements-openvino.txt.
"""

import json
import sys
from pathlib import Path

import nncf
import numpy as np
import openvino

MOST = 300
"""Texts to calibrate on: what nncf takes by default."""
LONGEST = 512


def random_rows() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = (16, 32, 64, 128) * 10
    return [rng.integers(1000, 20000, (1, length)) for length in lengths]


def text_rows(texts: str, tokenizer: str) -> list[np.ndarray]:
    import tokenizers

    native = tokenizers.Tokenizer.from_file(tokenizer)
    native.no_padding()
    native.enable_truncation(LONGEST)
    rows = [tuple(row) if len(row) > 1 else row[0] for row in json.loads(Path(texts).read_text())]
    return [np.array([row.ids], np.int64) for row in native.encode_batch(rows[:MOST])]


def main(source: str, output: str, *calibration: str) -> None:
    model = openvino.Core().read_model(source)
    names = [next(iter(port.get_names())) for port in model.inputs]

    def feed(ids: np.ndarray) -> dict[str, np.ndarray]:
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return {name: values.get(name, np.zeros_like(ids)) for name in names}

    rows = (text_rows(*calibration) if calibration else []) or random_rows()
    quantized = nncf.quantize(
        model,
        nncf.Dataset([feed(row) for row in rows]),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )
    openvino.save_model(quantized, output, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
