"""The graph of a checkpoint: exported, fused, changed by exact passes, saved for a bundle."""
