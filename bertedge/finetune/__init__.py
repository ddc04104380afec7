"""From a labelled file and a base model to a fine-tuned checkpoint."""
