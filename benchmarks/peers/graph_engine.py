"""One ONNX graph as an engine of `bertedge bench`: a session as bertedge opens it, token ids alone.

`variant` "optimized" loads the graph as it is; otherwise onnxruntime optimizes it at load. Outputs
are the logits themselves, as embeddings, so that engines can be compared number by number.
"""

from pathlib import Path

from bertedge.bench.backends import BackendSpec, Prepared
from bertedge.bench.worker import main


class Graph:
    """A backend of token ids."""

    runs_on = "CPUExecutionProvider"

    def __init__(self, request) -> None:
        from bertedge.runtime.session import Session

        disabled = ["SkipLayerNormFusion"]  # as a bundle's variant for the CPU has it
        optimized = request.variant == "optimized"
        path, threads = Path(request.path), request.threads
        self.session = Session.open(
            path, threads=threads, disabled_optimizers=disabled, optimized=optimized
        )

    def tokens(self, workload) -> Prepared:
        from bertedge.predictions import Embedding
        from bertedge.runtime.encoding import Batch

        batches = [Batch.full(rows) for rows in workload.batches]
        return Prepared(
            inputs=len(batches),
            run=lambda i: self.session.logits(batches[i]),
            read=lambda logits: [Embedding(values=row.ravel()) for row in logits],
        )

    def texts(self, workload) -> Prepared:
        """Nothing is timed on texts; the first text of `open` is one batch of tokens."""
        from bertedge.bench.protocol import TokenWorkload

        return self.tokens(TokenWorkload(name="", batches=(((0, 1, 2),),)))


if __name__ == "__main__":
    main({"graph": BackendSpec(imports=("onnxruntime",), libraries=("onnxruntime",), load=Graph)})
