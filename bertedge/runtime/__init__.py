"""The predictor and what it stands on: numpy, tokenizers and onnxruntime, nothing else."""
