"""Latency of a bundle against PyTorch and others: a process each, rounds interleaved.

config      what is compared and how; run: the whole bench
inputs      what the engines are given; workloads: the grid, texts; labelled: texts with labels
lineup      all engines: discovery (PyTorch, the bundle), rivals (others), external (TOML)
messages    what bench and an engine's process say to each other; protocol: as lines of JSON
worker      an engine's process: load, warm up, time; process: as its parent sees it
backends    bertedge's own engines, by name
runner      the engines' processes while they are measured; trackers: memory and energy of them
scenarios   cold starts, warm-up and rounds; open load; profiles
statistics  percentiles and speed-ups with their intervals
report      the records that `--json` writes; build and describe fill them from the logs
table       the report for people
"""
