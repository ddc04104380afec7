"""What most people write: FastAPI around transformers' pipeline.

usage: python benchmarks/rivals/pipeline_app.py CHECKPOINT PORT
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

torch.set_num_threads(1)
classify = pipeline("text-classification", model=sys.argv[1], device="cpu")
app = FastAPI()


class Text(BaseModel):
    """A request's body."""

    text: str


@app.post("/predict")
async def predict(body: Text):
    # In the event loop: several of its threads would only share the one core.
    return classify(body.text, truncation=True)[0]


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
