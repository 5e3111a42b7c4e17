"""Declared models: whole files, loading and computing in the image, and each cause named."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.model import Model, ModelInput
from seatrial.images.testing.inside.shrinking import rungs
from seatrial.images.testing.model import Check, Level, TestSpec
from support.debian import PACKAGES, Item, base, folder, needs_bwrap, own_cache
from support.ml import NUMPY, checks, installed, torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NETS = """
import os, socket, time
import torch
class Net(torch.nn.Module):
    def __init__(self, size=4): self.size = size
    def forward(self, x):
        if x.shape[-1] != self.size:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x%d and %dx2)" % (x.shape[-1], self.size))
        return torch.Tensor((x.shape[0], 2))
def crash(): os.abort()
def slow(): time.sleep(600)
def large(): return bytearray(1 << 30)
def fetch(): socket.create_connection(("192.0.2.1", 443), timeout=5)
def wrong():
    try: {}["inner"]
    except KeyError as error: raise RuntimeError("could not build") from error
"""
TRANSFORMERS = """
import contextlib, json, torch
__version__ = "4.50.0"
torch.long, torch.manual_seed, torch.device = "int64", lambda seed: None, contextlib.nullcontext
torch.tensor = lambda ids: torch.Tensor((len(ids), len(ids[0])))
torch.ones = lambda *shape, dtype: torch.Tensor(shape)
class Config:
    model_type = "invented"
    def __init__(self, values): self.__dict__.update(values)
    def to_dict(self): return self.__dict__
class AutoConfig:
    @staticmethod
    def from_pretrained(path, **_): return Config(json.load(open(path + "/config.json")))
class Weight:
    def __init__(self, count): self.numel = lambda: count
class Net(torch.nn.Module):
    main_input_name = "input_ids"
    def __init__(self, config):
        if config.hidden_size % config.num_attention_heads: raise ValueError("hidden size %d is no multiple of %d heads" % (config.hidden_size, config.num_attention_heads))
        self.config = config
    def parameters(self): return [Weight(self.config.num_hidden_layers * self.config.hidden_size ** 2 * 12)]
    def forward(self, input_ids, attention_mask=None):
        if self.config.num_attention_heads < getattr(self.config, "needs", 0): raise RuntimeError("too narrow")
        return {"logits": torch.Tensor((1, input_ids.shape[1], self.config.vocab_size))}
"""
# Stand-ins: real ones are hundreds of megabytes, and are tried by the test marked slow.
LIBRARIES = [
    *torch(),
    *installed("numpy", "2.0.0", {"numpy/__init__.py": NUMPY}),
    *installed("transformers", "4.50.0", {"transformers/__init__.py": TRANSFORMERS}),
    *installed("safetensors", "0.5.0", {"safetensors/__init__.py": ""}),
    *installed("onnxruntime", "1.20.0", {"onnxruntime/__init__.py": ""}),
    *installed("scikit-learn", "1.5.2", {"sklearn/__init__.py": "", "joblib.py": "import pickle\ndef load(path): return pickle.load(open(path, 'rb'))\n"}),
    Item("nets.py", NETS),
    Item(f"{PACKAGES}/fitted.py", "class Model:\n    n_features_in_ = 3\n    def predict(self, rows):\n        assert rows.shape == (2, 3), rows.shape\n        return rows\n"),
]  # fmt: skip
FITTED = b"cfitted\nModel\n(tR."


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def debian(cache: Path) -> Path:
    return base()


def answers(
    debian: Path, tmp_path: Path, model: Model, level: Level = "full", *extra: Item, **settings: Any
) -> dict[str, Check]:
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    spec = TestSpec(models={"net": model}, folder=str(project))
    found = checks(debian, tmp_path, [*LIBRARIES, *extra], spec, "models", level, **settings)
    return {check.id: check for check in found}


def of_torch(name: str, **settings: Any) -> Model:
    return Model(kind="torch", object=f"nets:{name}", **settings)


def test_a_model_loads_and_computes_by_a_stand_in_for_torch(debian: Path, tmp_path: Path) -> None:
    model = of_torch("Net", args={"size": "5"}, inputs=(ModelInput(shape=(1, 5)),))
    found = answers(debian, tmp_path, model)
    assert [(check.id, check.status) for check in found.values()] == [
        ("models:net", "pass"),
        ("models:net:load", "pass"),
        ("models:net:forward", "pass"),
    ]
    assert found["models:net:forward"].message == "computed 1x2"


def test_levels_do_what_they_say_by_a_stand_in_for_torch(debian: Path, tmp_path: Path) -> None:
    model = of_torch("Net", inputs=(ModelInput(shape=(1, 9)),))
    assert set(answers(debian, tmp_path, model, "quick")) == {"models:net"}
    assert set(answers(debian, tmp_path, model, "standard")) == {"models:net", "models:net:load"}


# What is declared, which check fails, what its message says first, and what its fix says.
BROKEN = [
    ("forward", of_torch("Net", inputs=(ModelInput(shape=(1, 9)),)), ":forward", "RuntimeError: mat1 and mat2 shapes", "sizes of the layers"),
    ("crash", of_torch("crash"), ":load", "the process ended while loading (abort)", "compiled library"),
    ("time", of_torch("slow", timeout=1.0), ":load", "loading did not finish in 1 s", "timeout"),
    ("memory", of_torch("large", memory="512m"), ":load", "MemoryError", "memory"),
    ("network", of_torch("fetch"), ":load", "OSError: [Errno 101] Network is unreachable", "into the image"),
    ("cause", of_torch("wrong"), ":load", "KeyError: there is no 'inner'", "nets.py:"),
    ("no module", Model(kind="torch", object="absent:Net"), ":load", "ModuleNotFoundError: No module named 'absent'", "requirements"),
    ("no name", of_torch("Nett"), ":load", "AttributeError: module 'nets' has no attribute 'Nett'", "correct the name"),
    ("no module object", of_torch("socket.gethostname"), ":load", "nets:socket.gethostname gives a str", "correct the torch model"),
    ("no object", Model(kind="torch"), "", "needs `object: MODULE:NAME`", "seatrial.yaml"),
    ("no path", Model(kind="onnx"), "", "needs `path: FILE`", "seatrial.yaml"),
    ("nowhere", Model(kind="onnx", path="a.onnx"), "", "a.onnx is neither in the image (/a.onnx) nor in the project", "path"),
    ("not in the image", Model(kind="onnx", path="/a.onnx"), "", "/a.onnx is not in the image", "path"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "check", "message", "fix"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_a_broken_model_is_named_with_its_cause_by_stand_ins(
    debian: Path, tmp_path: Path, model: Model, check: str, message: str, fix: str
) -> None:
    found = list(answers(debian, tmp_path, model).values())
    assert found[0].status == "fail"
    assert found[0].id == f"models:net{check}"
    assert message in found[0].message
    assert fix in found[0].fix
    assert all(one.status == "pass" for one in found[1:])


SIZES = {"num_hidden_layers": 32, "num_attention_heads": 32, "hidden_size": 4096, "vocab_size": 100}
CONFIGURATIONS = [
    (
        {},
        "6.4 B parameters; made with fewer layers and experts, and narrower: 6.3 M parameters",
        "pass",
        "logits 1x8x100",
    ),
    (
        {"num_hidden_layers": 1, "hidden_size": 32},
        "Net with 12.3 k parameters, random weights",
        "pass",
        "logits 1x8x100",
    ),
    ({"needs": 8}, "narrower: 6.3 M parameters", "fail", "RuntimeError: too narrow"),
    ({"hidden_size": 4097}, "ValueError: hidden size 4097 is no multiple of 32 heads", "", ""),
    ({"architectures": ["Other"]}, "transformers 4.50.0 has no class Other", "", ""),
]


@pytest.mark.parametrize(("values", "loaded", "status", "computed"), CONFIGURATIONS)
def test_a_configuration_is_made_small_and_computes_by_stand_ins_for_torch_and_transformers(
    debian: Path, tmp_path: Path, values: dict[str, Any], loaded: str, status: str, computed: str
) -> None:
    (tmp_path / "project/net").mkdir(parents=True)
    config = {"model_type": "invented", "architectures": ["Net"], **SIZES, **values}
    (tmp_path / "project/net/config.json").write_text(json.dumps(config))
    found = answers(debian, tmp_path, Model(kind="huggingface", path="net"))
    assert loaded in found["models:net:load"].message
    assert found["models:net:load"].status == ("pass" if status else "fail")
    if status:
        assert found["models:net:forward"].status == status
        assert computed in found["models:net:forward"].message


def safetensors(size: int = 8, said: int = 8) -> bytes:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, said]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(size)


CONFIG = json.dumps({"model_type": "bert"})
INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
FILES: list[tuple[str, str, dict[str, bytes | str], str]] = [
    ("no configuration", "huggingface", {"weights.bin": "x"}, "there is no config.json"),
    ("broken configuration", "huggingface", {"config.json": "{"}, "config.json is no JSON"),
    ("empty configuration", "huggingface", {"config.json": "{}"}, "neither model_type nor architectures"),
    ("missing part", "huggingface", {"config.json": CONFIG, "model.safetensors.index.json": INDEX, "model-1.safetensors": safetensors()}, "names model-2.safetensors, which is not there"),
    ("cut off", "huggingface", {"config.json": CONFIG, "model.safetensors": safetensors(size=4)}, "bytes, its header says"),
    ("pointer", "huggingface", {"config.json": CONFIG, "model.safetensors": "version https://git-lfs.github.com/spec/v1\noid"}, "pointer of Git LFS"),
    ("not safetensors", "safetensors", {"a.safetensors": b"PK\3\4 and more than eight bytes"}, "no safetensors file, or cut off"),
    ("not TorchScript", "torchscript", {"a.pt": "text"}, "no TorchScript archive"),
    ("not ONNX", "onnx", {"a.onnx": "text"}, "no ONNX file"),
    ("empty", "sklearn", {"a.joblib": ""}, "is empty"),
    ("other release", "sklearn", {"a.pkl": pickle.dumps({"coef": 1, "_sklearn_version": "0.24.2"})}, "fitted with scikit-learn 0.24.2, and the image has 1.5.2"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "files", "message"), [f[1:] for f in FILES], ids=[f[0] for f in FILES])
def test_what_is_wrong_with_files_is_known_without_running_anything(
    debian: Path, tmp_path: Path, kind: Any, files: dict[str, bytes | str], message: str
) -> None:
    one = "model" if kind == "huggingface" else f"model/{next(iter(files))}"
    items: list[Item] = []
    if kind != "sklearn":  # of the image, or else of the project
        items = [
            folder("srv"),
            folder("srv/model"),
            *(Item(f"srv/model/{name}", text) for name, text in files.items()),
        ]
    else:
        (tmp_path / "project/model").mkdir(parents=True)
        for name, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            (tmp_path / "project/model" / name).write_bytes(content)
    found = answers(debian, tmp_path, Model(kind=kind, path=one), "quick", *items, WorkingDir="/srv")
    assert [check.status for check in found.values()] == ["fail"]
    assert message in found["models:net"].message
    assert found["models:net"].fix


def test_a_fitted_model_predicts_by_a_stand_in_for_scikit_learn(debian: Path, tmp_path: Path) -> None:
    """From the image, from the project, and through a link that leads out of the folder."""
    (tmp_path / "project").mkdir()
    (tmp_path / "blob").write_bytes(FITTED)
    (tmp_path / "project/linked.joblib").symlink_to(tmp_path / "blob")
    inside = [folder("srv"), Item("srv/here.joblib", FITTED)]
    for path in ("here.joblib", "/srv/here.joblib", "linked.joblib"):
        found = answers(
            debian, tmp_path, Model(kind="sklearn", path=path), "full", *inside, WorkingDir="/srv"
        )
        assert [check.status for check in found.values()] == ["pass"] * 3, path
        assert found["models:net:forward"].message == "predict gives 2x3"
        shutil.rmtree(tmp_path / "image")
    found = answers(
        debian,
        tmp_path,
        Model(kind="sklearn", path="here.joblib", features=4),
        "full",
        *inside,
        WorkingDir="/srv",
    )
    assert found["models:net:forward"].status == "fail"


def test_a_library_that_the_image_lacks_is_named(debian: Path, tmp_path: Path) -> None:
    spec = TestSpec(models={"net": Model(kind="onnx", path="/a.onnx")})
    (found,) = checks(debian, tmp_path, [Item("a.onnx", b"\x08\x08")], spec, "models", "quick")
    assert found.message == "net needs onnxruntime, which is not in the image"
    assert "requirements" in found.fix


def test_without_models_the_check_says_so(debian: Path, tmp_path: Path) -> None:
    (found,) = checks(debian, tmp_path, [], TestSpec(), "models", "quick")
    assert (found.status, found.id) == ("skip", "models")


class Config(SimpleNamespace):
    """A configuration as transformers has them: values, some of which are configurations."""

    model_type = "invented"

    def to_dict(self) -> dict[str, Any]:
        return vars(self)


def test_architectures_shrink_so_that_their_parts_still_fit_each_other() -> None:
    config = Config(
        num_hidden_layers=32, hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_key_value_heads=8,
        vocab_size=128_000, num_local_experts=64, num_experts_per_tok=2, n_group=8,
        layer_types=["slide", "slide", "slide", "full"] * 8, rope={"sections": [16, 24, 24]},
        vision_config=Config(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16),
    )  # fmt: skip
    steps = dict(rungs(config))
    assert next(iter(steps.values())) is config
    for name, small in list(steps.items())[1:]:
        heads, groups = small.num_attention_heads, small.num_key_value_heads
        assert small.hidden_size // heads == 128, name
        assert heads // groups == 4, name
        assert small.vision_config.hidden_size // small.vision_config.num_attention_heads == 64, name
        assert len(small.layer_types) == small.num_hidden_layers == 4, name
        assert set(small.layer_types) == {"slide", "full"}, name
        assert small.vocab_size == 128_000, name
    last = list(steps.values())[-1]
    assert (last.num_attention_heads, last.num_key_value_heads, last.num_local_experts) == (4, 1, 16)
    assert config.num_hidden_layers == 32


REAL = """
import joblib, numpy, sys
from sklearn.linear_model import LinearRegression
model = LinearRegression().fit(numpy.arange(12.0).reshape(4, 3), [1, 2, 3, 4])
joblib.dump(model, sys.argv[1])
"""


@pytest.mark.slow
def test_a_real_scikit_learn_model(debian: Path, tmp_path: Path) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("needs wheels for the image's Python, 3.11, which are taken for this interpreter")
    target = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(target), "--only-binary", ":all:", "scikit-learn"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"no index has scikit-learn: {done.stderr.strip().splitlines()[-1:]}")
    subprocess.run(
        [sys.executable, "-c", REAL, str(tmp_path / "model.joblib")],
        env={**os.environ, "PYTHONPATH": str(target)},
        check=True,
    )
    layer = [
        Item(f"{PACKAGES}/{file.relative_to(target)}", file.read_bytes())
        for file in sorted(target.rglob("*"))
        if file.is_file()
    ]
    spec = TestSpec(
        folder=str(tmp_path),
        models={
            "fine": Model(kind="sklearn", path="model.joblib"),
            "other": Model(kind="sklearn", path="model.joblib", features=5),
        },
    )
    found = {check.id: check for check in checks(debian, tmp_path, layer, spec, "models")}
    assert found["models:fine:forward"].message == "predict gives 2"
    broken = found["models:other:forward"]
    assert broken.message.startswith("ValueError: X has 5 features, but LinearRegression is expecting 3")
    assert "features" in broken.fix
