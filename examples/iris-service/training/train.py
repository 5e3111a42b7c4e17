"""Train the iris classifier and write it as ONNX.

    pip install -r training/requirements.txt
    python training/train.py model/iris.onnx

The data are Fisher's 150 irises, which scikit-learn carries with it. The same packages give the same file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

# onnxruntime 1.17 runs up to opset 20; the older one keeps the model loadable elsewhere too.
OPSET = {"": 17, "ai.onnx.ml": 3}


def train() -> bytes:
    """The trained model as the bytes of an ONNX file."""
    measures, kinds = load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=10.0, max_iter=1000))
    accuracy = cross_val_score(model, measures, kinds, cv=10).mean()
    print(f"accuracy in ten-fold cross-validation: {accuracy:.3f}")
    model.fit(measures, kinds)
    exported = to_onnx(
        model,
        initial_types=[("measures", FloatTensorType([None, 4]))],
        options={"zipmap": False},
        target_opset=OPSET,
        name="iris",
    )
    return exported.SerializeToString(deterministic=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the iris classifier and write it as ONNX.")
    parser.add_argument("output", type=Path)
    path = parser.parse_args().output
    data = train()
    path.write_bytes(data)
    print(f"{path}: {len(data)} bytes")


if __name__ == "__main__":
    main()
