"""OpenVINO as an engine of `bertedge bench`: runs the model.xml that openvino_int8.py made.

Needs bertedge itself without its dependencies, and requirements-openvino.txt. Texts are fed as an
engineer with tokenizers alone would: 32 a batch, in their order, padded.
"""

from pathlib import Path

from bertedge.bench.backends import Backend, BackendSpec
from bertedge.bench.messages import Open
from bertedge.bench.worker import main


def load(request: Open) -> Backend:
    import openvino

    from bertedge.bench.backends.onnxruntime import OnnxRuntimeBackend, padded_tokenizer

    settings = {"INFERENCE_NUM_THREADS": request.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(f"{request.path}/model.xml", "CPU", settings)
    names = [next(iter(port.get_names())) for port in compiled.inputs]
    native = compiled.create_infer_request()

    def logits(feed):
        return native.infer({name: feed[name] for name in names})[0]

    json = Path(request.tokenizer).read_text(encoding="utf-8")
    return OnnxRuntimeBackend(
        logits=logits,
        tokenizer=padded_tokenizer(
            json, max_length=request.max_length, pad_token_id=request.pad_token_id
        ),
        task=request.task,
        json=json,
        runs_on="OpenVINO on the CPU",
    )


if __name__ == "__main__":
    libraries = ("openvino", "tokenizers", "numpy")
    imports = (*libraries, "bertedge.bench.backends.onnxruntime")
    main({"openvino": BackendSpec(imports=imports, libraries=libraries, load=load)})
