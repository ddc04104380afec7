"""The ways to int8, the texts that calibrate them, and what each step does to the graph."""
