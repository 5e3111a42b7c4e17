"""Load a model and let it compute, and say after each step how it went.

Standard input is the order, JSON. Each line of standard output is JSON: {"start": STEP}, then one of {"done", …},
{"skip", …}, {"fail", …}. A step without an end is one in which the process died. Whatever else is printed goes to
standard error. A step that takes too long ends the process with its stack on standard error.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import sys
import time
import traceback
import warnings
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - starts in half the time without pathlib
LONGEST = 600


def main() -> None:
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    faulthandler.enable()
    order = json.loads(sys.stdin.read())
    kind = importlib.import_module(f"{__package__}.of_{order['kind']}")
    steps: list[Any] = [("load", lambda: kind.load(order))]
    if order["forward"]:
        steps.append(("forward", lambda: kind.forward(loaded, order)))
    loaded: Any = None
    for name, step in steps:
        report.write(json.dumps({"start": name}) + "\n")
        faulthandler.dump_traceback_later(order["timeout"], exit=True)
        begin = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                loaded, message, details = step()
            answer = {"done": name, "message": message, "details": details}
        except BaseException as error:  # noqa: BLE001 - whatever a model raises is its failure
            told = getattr(error, "skip", None)
            answer = {"skip": name, "message": told} if told else {"fail": name, **described(error)}
        faulthandler.cancel_dump_traceback_later()
        report.write(json.dumps({**answer, "seconds": round(time.perf_counter() - begin, 3)}) + "\n")
        if "done" not in answer:
            break
    report.flush()
    # Threads and exit hooks of large libraries may hang or crash, which says nothing about the model.
    os._exit(0)


def described(error: BaseException) -> dict[str, Any]:
    """The first cause, in one line, with the place in the model's own code where there is one."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    frames = traceback.extract_tb(first.__traceback__) or traceback.extract_tb(error.__traceback__)
    outside = [one for one in frames if not one.filename.startswith(HERE)]
    own = [
        one
        for one in outside
        if not any(part in one.filename for part in ("-packages/", "<frozen", "/lib/python"))
    ]
    place = (own or outside or frames)[-1:]
    # The innermost frames, without what only marks columns: that is what a reader needs first.
    shown = [line for one in traceback.format_list((outside or frames)[-3:]) for line in one.splitlines()]
    told = [line for one in traceback.format_exception_only(type(error), error) for line in one.splitlines()]
    if type(error).__name__ == "BrokenModelError":
        return {"message": str(error), "own": False, "place": "", "details": []}
    return {
        "message": sentence(first),
        "own": bool(own),
        "place": f"{place[0].filename}:{place[0].lineno}" if place else "",
        "details": [*(line for line in shown if line.strip(" ^~")), *told[:5]],
    }


def sentence(error: BaseException) -> str:
    """`Type: text`, of the lines of the text those that say something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    if text.endswith((":", "following indices")) and len(lines) > 1:
        text = f"{text} {lines[1]}"
    if isinstance(error, KeyError):
        text = f"there is no {text}"
    return f"{type(error).__name__}: {text}"[:LONGEST] if text else type(error).__name__
