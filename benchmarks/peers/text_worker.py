"""One engine that labels texts end to end, in a process of its own, driven line by line.

usage: python benchmarks/peers/text_worker.py KIND CHECKPOINT-OR-BUNDLE TEXTS.json THREADS

KIND is bertedge, transformers (torch fp32) or optimum (ORTModel, int8 by its default path, exported
on first use into a folder beside the checkpoint). Prints {"start_s": …} once the first text is
labelled, counted from the process's start. Then for each line on stdin one JSON line:
"one FIRST COUNT" labels texts one at a time and gives their milliseconds; "all" labels all of
them (batches of 32, as the pipelines take them) and gives seconds and labels; "memory" the peak.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

Label = Callable[[list[str]], list[str]]


def open_bertedge(path: str, threads: int) -> Label:
    import bertedge

    predictor = bertedge.load(path, device="cpu", threads=threads)
    return lambda texts: [prediction.label for prediction in predictor.predict(texts)]


def open_transformers(path: str, threads: int) -> Label:
    import torch
    import transformers

    torch.set_num_threads(threads)
    pipeline = transformers.pipeline("text-classification", path, device="cpu")
    return lambda texts: [row["label"] for row in pipeline(texts, batch_size=32, truncation=True)]


def open_optimum(path: str, threads: int) -> Label:
    import onnxruntime
    import transformers
    from optimum.onnxruntime import ORTModelForSequenceClassification

    folder = Path(path).with_name(Path(path).name + "-optimum-int8")
    if not folder.exists():
        quantize_by_optimum(path, folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    model = ORTModelForSequenceClassification.from_pretrained(folder, session_options=options)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    pipeline = transformers.pipeline("text-classification", model, tokenizer=tokenizer)
    return lambda texts: [row["label"] for row in pipeline(texts, batch_size=32, truncation=True)]


def quantize_by_optimum(path: str, folder: Path) -> None:
    from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    exported = folder.with_name(folder.name + "-float")
    ORTModelForSequenceClassification.from_pretrained(path, export=True).save_pretrained(exported)
    quantizer = ORTQuantizer.from_pretrained(exported, file_name="model.onnx")
    settings = AutoQuantizationConfig.avx512_vnni(is_static=False, per_channel=True)
    quantizer.quantize(settings, save_dir=folder)


OPEN = {"bertedge": open_bertedge, "transformers": open_transformers, "optimum": open_optimum}


def main(kind: str, path: str, file: str, threads: str) -> None:
    texts = json.loads(Path(file).read_text(encoding="utf-8"))
    label = OPEN[kind](path, int(threads))
    label(texts[:1])
    born = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    running = float(Path("/proc/uptime").read_text().split()[0])
    tell({"start_s": running - born / os.sysconf("SC_CLK_TCK")})
    for line in sys.stdin:
        match line.split():
            case ["one", first, count]:
                some = texts[int(first) : int(first) + int(count)]
                tell({"ms": [one(label, text) for text in some]})
            case ["all"]:
                began = time.perf_counter()
                labels = label(texts)
                tell({"seconds": time.perf_counter() - began, "labels": labels})
            case ["memory"]:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                tell({"peak_mib": peak})


def one(label: Label, text: str) -> float:
    began = time.perf_counter()
    label([text])
    return (time.perf_counter() - began) * 1000


def tell(record: dict[str, object]) -> None:
    print("\n" + json.dumps(record), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
