"""The least that can serve a model: an ASGI app that takes a JSON object of raw features and scores it.

``python -m tests.bench.bare FOLDER PORT``, with what ``mlops export`` wrote in the folder.
"""

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import uvicorn


def create_app(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    inputs = json.loads((folder / "schema.json").read_text())["inputs"]
    types = [(given["name"], object if given["type"] == "string" else np.float32) for given in inputs]
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    headers = [(b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        row = decode(body)
        feed = {name: np.array([[row[name]]], dtype=kind) for name, kind in types}
        prediction = session.run(["prediction"], feed)[0]
        answer = encode({"prediction": float(prediction[0])})
        headers_sent = [*headers, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers_sent})
        await send({"type": "http.response.body", "body": answer})

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(Path(sys.argv[1])), port=int(sys.argv[2]), log_level="warning", access_log=False, lifespan="off"
    )
