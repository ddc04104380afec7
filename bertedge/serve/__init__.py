"""A bundle behind HTTP: `bertedge serve`."""
