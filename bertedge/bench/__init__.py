"""Latency of a bundle against PyTorch: engines in processes of their own, rounds interleaved.

engines     which engines there are for a bundle and a baseline checkpoint
workload    what they are given: a grid of batch and length, real texts
protocol    the messages between bench and an engine's process
worker      an engine's process: load, warm up, time
measure     start the processes, run the rounds, survive what goes wrong
statistics  percentiles and speed-ups with their intervals
report      the records that `--json` writes, from what was measured
table       the report for people
"""
