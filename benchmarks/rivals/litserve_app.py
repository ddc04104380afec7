"""LitServe around Optimum's int8 graph, with dynamic batches.

usage: python benchmarks/rivals/litserve_app.py FOLDER PORT
"""

import sys

import litserve
import onnxruntime
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer


class Classifier(litserve.LitAPI):
    """Texts in, the best label and its score out."""

    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        folder = sys.argv[1]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = ORTModelForSequenceClassification.from_pretrained(
            folder, file_name="model_quantized.onnx", session_options=options
        )
        self.labels = self.model.config.id2label

    def decode_request(self, request):
        return request["text"]

    def batch(self, inputs):
        return list(inputs)

    def predict(self, texts):
        encoded = self.tokenizer(
            texts, padding=True, truncation=True, max_length=512, return_tensors="np"
        )
        logits = self.model(**encoded).logits
        shifted = logits - logits.max(-1, keepdims=True)
        powers = 2.718281828459045**shifted
        return list(powers / powers.sum(-1, keepdims=True))

    def unbatch(self, output):
        return output

    def encode_response(self, scores):
        best = int(scores.argmax())
        return {"label": self.labels[best], "score": float(scores[best])}


if __name__ == "__main__":
    api = Classifier(max_batch_size=32, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[2]), log_level="error", generate_client_file=False)
