"""What every training run has: a recipe file, a work folder, a callback, a precision."""
