"""The least that can serve a model: an ASGI app, behind our own server, that scores a JSON object of raw features.

``python -m tests.bench.bare FOLDER PORT``, with what ``mlops export`` wrote in the folder.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime

from pipelines.serving.server import serve


def create_app(folder: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    inputs = json.loads((folder / "schema.json").read_text())["inputs"]
    types = [(given["name"], object if given["type"] == "string" else np.float32) for given in inputs]
    decode, encode = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode
    headers = [(b"content-type", b"application/json")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
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

    app.drain = lambda: None  # type: ignore[attr-defined]
    return app


if __name__ == "__main__":
    serve(partial(create_app, Path(sys.argv[1])), "127.0.0.1", int(sys.argv[2]), workers=1)
