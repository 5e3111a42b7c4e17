"""Serve the iris classifier the way SageMaker asks for it: GET /ping and POST /invocations on port 8080.

PORT and HOST say where to listen, MODEL which ONNX file to load.
"""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

KINDS = ("setosa", "versicolor", "virginica")
MEASURES = ("sepal length", "sepal width", "petal length", "petal width")  # in centimetres
LONGEST = 1e6  # centimetres
MOST_ROWS = 10_000
MOST_BYTES = 6 * 1024 * 1024  # what SageMaker's real-time endpoints accept
JSON, CSV = "application/json", "text/csv"


class RefusedError(Exception):
    """A request that cannot be answered; `status` and the text say why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def load_model(path: Path) -> onnxruntime.InferenceSession:
    """Load an ONNX file; one thread is enough for a model this small, and leaves the others to requests."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def create_app(session: onnxruntime.InferenceSession) -> FastAPI:
    app = FastAPI(title="iris-service", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(RefusedError)
    async def refuse(_request: Request, refused: RefusedError) -> Response:
        return Response(json.dumps({"error": str(refused)}) + "\n", refused.status, media_type=JSON)

    @app.get("/ping")
    async def ping() -> Response:
        return Response("\n", media_type=JSON)

    @app.post("/invocations")
    async def invocations(request: Request) -> Response:
        accept = accepted(request.headers.get("accept", "*/*"))
        rows = parse(await body_of(request), request.headers.get("content-type", ""))
        answer = await run_in_threadpool(classify, session, rows)
        return Response(render(answer, accept), media_type=accept)

    return app


async def body_of(request: Request) -> bytes:
    """The body, as long as it is not larger than allowed; nothing more is read then."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise RefusedError(413, f"the body has more than {MOST_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def accepted(header: str) -> str:
    """The first content type of an Accept header that we can write."""
    for one in header.split(","):
        kind = one.partition(";")[0].strip().lower()
        if kind in (JSON, "application/*", "*/*", ""):
            return JSON
        if kind in (CSV, "text/*"):
            return CSV
    raise RefusedError(406, f"answers are {JSON} or {CSV}, not {header}")


def parse(body: bytes, content_type: str) -> np.ndarray:
    """The rows of a request, as float32 of shape (rows, 4)."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, CSV):
        raise RefusedError(415, f"the body must be {JSON} or {CSV}, not {kind or 'of no stated type'}")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RefusedError(400, "the body is not UTF-8") from None
    rows = rows_of_json(text) if kind == JSON else rows_of_csv(text)
    if not rows:
        raise RefusedError(400, "there are no rows")
    if len(rows) > MOST_ROWS:
        raise RefusedError(400, f"there are {len(rows)} rows; {MOST_ROWS} are allowed")
    for number, row in enumerate(rows, 1):
        check_row(number, row)
    return np.array(rows, dtype=np.float32)


def rows_of_json(text: str) -> list[Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    rows = data.get("instances") if isinstance(data, dict) else data
    if not isinstance(rows, list):
        raise RefusedError(400, 'the body must be {"instances": [[…], …]}')
    return rows


def rows_of_csv(text: str) -> list[Any]:
    rows: list[Any] = []
    for row in csv.reader(io.StringIO(text)):
        if not row:
            continue
        try:
            rows.append([float(value) for value in row])
        except ValueError:
            raise RefusedError(400, f"row {len(rows) + 1} is not all numbers") from None
    return rows


def check_row(number: int, row: Any) -> None:
    if not isinstance(row, list) or len(row) != len(MEASURES):
        raise RefusedError(400, f"row {number} must have {len(MEASURES)} numbers: {', '.join(MEASURES)}")
    for value in row:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LONGEST:
            raise RefusedError(400, f"row {number}: {value!r} is no length in centimetres")


def classify(session: onnxruntime.InferenceSession, rows: np.ndarray) -> list[dict[str, Any]]:
    kinds, probabilities = session.run(None, {session.get_inputs()[0].name: rows})
    return [
        {"kind": KINDS[int(kind)], "probabilities": [round(float(one), 6) for one in row]}
        for kind, row in zip(kinds, probabilities, strict=True)
    ]


def render(answer: list[dict[str, Any]], kind: str) -> str:
    if kind == JSON:
        return json.dumps({"predictions": answer}) + "\n"
    return "".join(
        f"{one['kind']},{','.join(str(part) for part in one['probabilities'])}\n" for one in answer
    )


def main() -> None:
    # uvicorn finishes open requests on SIGTERM, then raises the signal again: that must be a clean exit.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    session = load_model(Path(os.environ.get("MODEL", Path(__file__).with_name("model") / "iris.onnx")))
    uvicorn.run(
        create_app(session),
        host=os.environ.get("HOST", "0.0.0.0"),
        port=int(os.environ.get("PORT", "8080")),
        log_level="info",
        access_log=False,
        timeout_graceful_shutdown=20,
    )


if __name__ == "__main__":
    main()
