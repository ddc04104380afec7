"""The settings of fine-tuning, in groups; `FinetuneConfig` has them all."""
