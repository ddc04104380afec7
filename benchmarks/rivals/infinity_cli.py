"""infinity's own command, on one thread of torch and onnxruntime.

usage: python benchmarks/rivals/infinity_cli.py v2 --model-id FOLDER --engine torch …
"""

import sys

import torch
from infinity_emb.cli import cli

torch.set_num_threads(1)
sys.argv[0] = "infinity_emb"
cli()
