"""bertedge's own kinds of engines, by the name that `open` gives them.

Their modules are imported when one is loaded: an engine must not pay for another's imports.
"""

from bertedge.bench.messages import Open
from bertedge.bench.subject import Kind, Subject

_TORCH = ("torch", "transformers")
_TOKENS = ("tokenizers", "numpy")
_DECODING = "bertedge.runtime.decoding"


def _torch(request: Open) -> Subject:
    from bertedge.bench import packed

    return packed.load_torch(request)


def _compile(request: Open) -> Subject:
    from bertedge.bench import packed

    return packed.load_compiled(request)


def _bundle(request: Open) -> Subject:
    from bertedge.bench import bundled

    return bundled.load(request)


def _pipeline(request: Open) -> Subject:
    from bertedge.bench import pipelines

    return pipelines.load_transformers(request)


def _optimum(request: Open) -> Subject:
    from bertedge.bench import pipelines

    return pipelines.load_optimum(request)


def _plain(request: Open) -> Subject:
    from bertedge.bench import plain_onnx

    return plain_onnx.load(request)


def _sentences(request: Open) -> Subject:
    from bertedge.bench import sentence_vectors

    return sentence_vectors.load(request)


KINDS = {
    "torch": Kind(
        imports=(*_TORCH, "bertedge.checkpoint", _DECODING),
        libraries=(*_TORCH, *_TOKENS),
        load=_torch,
    ),
    "compile": Kind(
        imports=(*_TORCH, "bertedge.checkpoint", _DECODING),
        libraries=(*_TORCH, *_TOKENS),
        load=_compile,
    ),
    "pipeline": Kind(
        imports=(*_TORCH, "bertedge.bench.pipelines"),
        libraries=(*_TORCH, *_TOKENS),
        load=_pipeline,
    ),
    "sentence-transformers": Kind(
        imports=("sentence_transformers", *_TORCH, "bertedge.bench.sentence_vectors"),
        libraries=("sentence-transformers", *_TORCH, *_TOKENS),
        load=_sentences,
    ),
    "optimum": Kind(
        imports=("optimum.onnxruntime", *_TORCH, "bertedge.bench.pipelines"),
        libraries=("optimum-onnx", "onnxruntime", *_TORCH, *_TOKENS),
        load=_optimum,
    ),
    "onnxruntime": Kind(
        imports=("onnxruntime", *_TOKENS, "bertedge.bench.plain_onnx"),
        libraries=("onnxruntime", *_TOKENS),
        load=_plain,
    ),
    "bundle": Kind(
        imports=("onnxruntime", "bertedge.runtime.predictor"),
        libraries=("onnxruntime", *_TOKENS),
        load=_bundle,
    ),
}
