"""What every training run has: a recipe file, a work folder, a watch, a precision."""
