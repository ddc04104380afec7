"""What every training run has: a config file, a run directory, callbacks, a precision."""
