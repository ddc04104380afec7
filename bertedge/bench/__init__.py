"""Latency of a bundle against PyTorch and others: a process each, rounds interleaved.

run         the whole bench
inputs      what the engines are given; workload: the grid, texts; labelled: texts with labels
lineup      all engines: engines (PyTorch, the bundle), rivals (what else there is), peers (TOML)
messages    what bench and an engine's process say to each other; protocol: as lines of JSON
worker      an engine's process: load, warm up, time; process: as its parent sees it
kinds       bertedge's own engines: packed (bundle, PyTorch), pipelines, plain_onnx
measure     cold starts, warm-up, rounds, by way of course; afterwards: all that comes after these
statistics  percentiles and speed-ups with their intervals
report      the records that `--json` writes; assemble and describe fill them from the logs
table       the report for people
"""
