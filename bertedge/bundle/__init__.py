"""What a bundle is on disk: a manifest, a tokenizer and the ONNX files of each variant.

    home-intents/
      bertedge.json      the manifest: everything below, with sizes and SHA-256
      tokenizer.json     Hugging Face tokenizers' own format
      cpu-int8.onnx      a variant's graph
      cpu-int8-unpadded.onnx   its graph for batches without padding, where it has one
      cpu-int8.weights   what both graphs read

`write_bundle` writes one atomically, `open_bundle` verifies every file before anything parses it.
`bertedge.json` is described field by field in docs/reference/manifest.md.
"""

from bertedge.bundle.folder import (
    MANIFEST,
    TOKENIZER,
    Bundle,
    describe_file,
    hash_file,
    open_bundle,
    write_bundle,
)
from bertedge.bundle.manifest import (
    FORMAT,
    UNHASHED,
    Accuracy,
    BatchEffect,
    Calibration,
    File,
    Golden,
    GraphPass,
    Manifest,
    Parity,
    Quantization,
    Source,
    Trial,
    Trimming,
    Variant,
)

__all__ = [
    "FORMAT",
    "MANIFEST",
    "TOKENIZER",
    "UNHASHED",
    "Accuracy",
    "BatchEffect",
    "Bundle",
    "Calibration",
    "File",
    "Golden",
    "GraphPass",
    "Manifest",
    "Parity",
    "Quantization",
    "Source",
    "Trial",
    "Trimming",
    "Variant",
    "describe_file",
    "hash_file",
    "open_bundle",
    "write_bundle",
]
