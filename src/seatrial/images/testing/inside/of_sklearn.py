"""A fitted scikit-learn model, or one with its interface, from a joblib or pickle file."""

from __future__ import annotations

import importlib
import pickle
import warnings
from typing import Any

from .given import Skipped, arrays, shape_of

_CALLS = ("predict", "transform", "score_samples", "kneighbors")


def load(order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            model = importlib.import_module("joblib").load(order["path"])
        except ModuleNotFoundError as error:
            if error.name != "joblib":
                raise
            with open(order["path"], "rb") as stream:  # noqa: PTH123
                model = pickle.load(stream)  # noqa: S301 - in a sandbox, and what the service would do
    details = sorted({str(one.message).splitlines()[0] for one in said})
    return model, f"{type(model).__name__} loads", details[:5]


def forward(model: Any, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    call = next((name for name in _CALLS if hasattr(model, name)), None)
    if call is None:
        raise Skipped(f"a {type(model).__name__} has none of {', '.join(_CALLS)}")
    rows = _rows(model, order)
    result = getattr(model, call)(rows)
    return None, f"{call} gives {shape_of(result)}", []


def _rows(model: Any, order: dict[str, Any]) -> Any:
    if order["inputs"]:
        plain, named = arrays(order["inputs"])
        if plain and not isinstance(plain[0], dict):
            return plain[0]
        return importlib.import_module("pandas").DataFrame(plain[0] if plain else named)
    features = order["features"] or getattr(model, "n_features_in_", None)
    if features is None:
        raise Skipped("the model does not say how many features it takes: give `features` or `inputs`")
    rows = arrays([{"dtype": "float64", "shape": [2, features]}])[0][0]
    names = getattr(model, "feature_names_in_", None)
    if names is None or len(names) != features:
        return rows
    try:
        return importlib.import_module("pandas").DataFrame(rows, columns=list(names))
    except ImportError:
        return rows
