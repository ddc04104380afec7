"""OpenVINO as an engine of `bertedge bench`: runs the model.xml that openvino_int8.py made.

Needs bertedge itself without its dependencies, and requirements-openvino.txt. Texts are fed as an
engineer with tokenizers alone would: 32 a batch, in their order, padded.
"""

from pathlib import Path

from bertedge.bench.backends import Backend, BackendSpec
from bertedge.bench.protocol import Open
from bertedge.bench.worker import main


def load(request: Open) -> Backend:
    import openvino

    from bertedge.bench.backends.onnxruntime import backend_of

    graph = Path(request.path)
    if graph.is_dir():
        graph /= "model.xml"
    settings = {"INFERENCE_NUM_THREADS": request.threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(str(graph), "CPU", settings)
    names = [next(iter(port.get_names())) for port in compiled.inputs]
    native = compiled.create_infer_request()

    def logits(feed):
        return native.infer({name: feed[name] for name in names})[0]

    return backend_of(request, logits, "OpenVINO on the CPU")


if __name__ == "__main__":
    libraries = ("openvino", "tokenizers", "numpy")
    imports = (*libraries, "bertedge.bench.backends.onnxruntime")
    main({"openvino": BackendSpec(imports=imports, libraries=libraries, load=load)})
