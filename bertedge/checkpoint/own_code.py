"""How a checkpoint says that its classifier is bertedge's own (`mean_pooling`)."""

MEAN_POOLING = "MeanPoolingForSequenceClassification"
"""In the `architectures` of a checkpoint's config."""
OWN_CODE = {"AutoModelForSequenceClassification": f"mean_pooling.{MEAN_POOLING}"}
"""The `auto_map` of such a config. bertedge never runs the file that it names, but its own."""
