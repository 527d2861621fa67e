"""The plain way to do the same: sentence-transformers in fp32 and FAISS behind FastAPI.

Run as `python -m tests.bench.baseline MODEL_FOLDER PASSAGES_JSON PORT`; prints `ready` when it answers.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    import faiss
    import numpy as np
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

    from web.server import Server

    model = SentenceTransformer(sys.argv[1], device="cpu")
    stored = np.load(Path(sys.argv[2]).with_suffix(".npy"))
    passages = json.loads(Path(sys.argv[2]).read_text("utf-8"))
    index = faiss.IndexFlatIP(stored.shape[1])
    index.add(stored)
    model.encode_query("warm up")
    app = FastAPI()

    class Ask(BaseModel):
        question: str

    @app.post("/v1/ask")
    def ask(body: Ask) -> dict[str, object]:
        vector = model.encode_query(body.question, normalize_embeddings=True)
        scores, rows = index.search(vector.reshape(1, -1), 10)
        return {"hits": [{"text": passages[r], "score": float(s)} for s, r in zip(scores[0], rows[0], strict=True)]}

    Server(uvicorn.Config(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning"), "ready").run()


if __name__ == "__main__":
    main()
