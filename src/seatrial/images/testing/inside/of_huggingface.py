"""A folder as `save_pretrained` writes it: with its weights, or small and with random ones."""

from __future__ import annotations

import copy
import importlib
import os
from typing import Any, NamedTuple

from .given import BrokenModelError, Skipped, not_numbers, shape_of, tensors
from .of_torch import parameters, written
from .shrinking import rungs

# What is small enough to be made without another thought, and what is too large to be tried (4 bytes each).
_EASY, _MOST = 50_000_000, 800_000_000
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "tokenizer.model",
)


class Loaded(NamedTuple):
    """A model ready to compute, or none with the reason; `given` says whether its weights are its own.

    `larger` makes it again, less changed, one after the other: what some architectures compute fits no other sizes.
    """

    model: Any
    config: Any
    tokenizer: Any
    given: bool
    reason: str = ""
    larger: tuple[Any, ...] = ()


def load(order: dict[str, Any]) -> tuple[Loaded, str, list[str]]:
    transformers = importlib.import_module("transformers")
    options = {"local_files_only": True, "trust_remote_code": order["own_code"]}
    config = transformers.AutoConfig.from_pretrained(order["path"], **options)
    tokenizer = None
    if any(os.path.exists(os.path.join(order["path"], name)) for name in _TOKENIZERS):  # noqa: PTH110, PTH118
        tokenizer = transformers.AutoTokenizer.from_pretrained(order["path"], **options)
    maker, automatic = _class(transformers, config, order)
    quantized = getattr(config, "quantization_config", None) is not None
    if order["weights"] and not order["random"] and not (quantized and not _gpu()):
        return _with_weights(maker, config, tokenizer, order, named=not automatic)
    return _random(maker, config, tokenizer, order, automatic=automatic, quantized=quantized)


def _class(transformers: Any, config: Any, order: dict[str, Any]) -> tuple[Any, bool]:
    """The class that the configuration names, and whether it is one that chooses by the configuration."""
    names = getattr(config, "architectures", None) or []
    own = getattr(config, "auto_map", None) or {}
    if own and order["own_code"]:
        for name in own:
            if name.startswith("AutoModel") and hasattr(transformers, name):
                return getattr(transformers, name), True
    for name in names:
        if hasattr(transformers, name):
            return getattr(transformers, name), False
    if names and own:
        raise BrokenModelError(
            f"{names[0]} is code that lies beside the model: set `own_code: true` to run it"
        )
    if names:
        wrote = getattr(config, "transformers_version", None)
        told = f"; the configuration was written by {wrote}" if wrote else ""
        raise BrokenModelError(f"transformers {transformers.__version__} has no class {names[0]}{told}")
    return transformers.AutoModel, True


def _with_weights(
    maker: Any, config: Any, tokenizer: Any, order: dict[str, Any], *, named: bool
) -> tuple[Loaded, str, list[str]]:
    # Left to itself the library prints which shapes differ, and raises an error that does not say it.
    model, told = maker.from_pretrained(
        order["path"],
        local_files_only=True,
        trust_remote_code=order["own_code"],
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    missing, wrong = sorted(told.get("missing_keys") or ()), told.get("mismatched_keys") or ()
    if wrong:
        name, given, wanted = (*next(iter(wrong)), "", "")[:3]
        raise BrokenModelError(f"size mismatch for {name}: the weights have {given}, the model {wanted}")
    if missing and named:
        raise BrokenModelError(
            f"the weights lack {len(missing)} tensors of {type(model).__name__}, such as {missing[0]}"
        )
    details = [f"not in the weights: {name}" for name in missing[:5]]
    details += [f"not used: {name}" for name in sorted(told.get("unexpected_keys") or ())[:5]]
    message = f"{type(model).__name__} with its own {parameters(model)}"
    return Loaded(model, config, tokenizer, given=True), message, details


def _random(
    maker: Any, config: Any, tokenizer: Any, order: dict[str, Any], *, automatic: bool, quantized: bool
) -> tuple[Loaded, str, list[str]]:
    config = copy.deepcopy(config)
    if quantized:
        # Its kernels need a GPU; the architecture is the same without.
        del config.quantization_config
    if "flash" in str(getattr(config, "_attn_implementation", "") or ""):
        config._attn_implementation = "eager"  # noqa: SLF001 - there is no public name for it

    def make(one: Any) -> Any:
        if automatic:
            return maker.from_config(copy.deepcopy(one), trust_remote_code=order["own_code"])
        return maker(copy.deepcopy(one))

    full, made = _sizes(make, config)
    if not made:
        # Some models cannot be made without memory: the smallest there is, for real, shows what is wrong.
        model = make(list(rungs(config))[-1][1])
        return (
            Loaded(model, config, tokenizer, given=False),
            f"{type(model).__name__} with random weights",
            [],
        )
    done, count, smaller = next((one for one in made if one[1] <= _EASY), min(made, key=lambda one: one[1]))
    if count > _MOST:
        why = f"even {done} it has {written(count)}: too many for random weights; give real ones"
        return (
            Loaded(None, smaller, tokenizer, given=False, reason=why),
            f"{written(full)} fit together",
            [why],
        )

    def again(one: Any) -> Any:
        torch = importlib.import_module("torch")
        torch.manual_seed(0)
        return make(one)

    larger = tuple(
        (lambda one=one: (again(one), one)) for _, size, one in reversed(made) if count < size <= _MOST // 2
    )
    model = again(smaller)
    name = type(model).__name__
    if done == "as configured":
        message = f"{name} with {written(count)}, random weights"
    else:
        message = f"{name} with {written(full)}; made {done}: {written(count)}, random weights"
    details = (
        ["its weights are quantized for a GPU and were not loaded"] if quantized and order["weights"] else []
    )
    return Loaded(model, smaller, tokenizer, given=False, larger=larger), message, details


def _sizes(make: Any, config: Any) -> tuple[int, list[tuple[str, int, Any]]]:
    """How many parameters it has as configured, and each change that can be made, with its number of parameters.

    Raises:
        Exception: it cannot be made as it is configured.
    """
    full = 0
    made: list[tuple[str, int, Any]] = []
    for done, smaller in rungs(config):
        try:
            count = _count(make, smaller)
        except Exception as error:
            if done == "as configured" and not _only_for_lack_of_memory(error):
                raise
            continue
        full = full or count
        made.append((done, count, smaller))
        if count <= _EASY:
            break
    return full, made


def _only_for_lack_of_memory(error: Exception) -> bool:
    """Whether it fails because its tensors have no content, or because this torch cannot do that, before 2.0."""
    torch = importlib.import_module("torch")
    return "meta" in str(error).lower() or not hasattr(torch.device, "__enter__")


def _count(make: Any, config: Any) -> int:
    """How many parameters the architecture has, without memory for any."""
    torch = importlib.import_module("torch")
    with torch.device("meta"):
        return sum(one.numel() for one in make(config).parameters())


def forward(loaded: Loaded, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    if loaded.model is None:
        raise Skipped(loaded.reason)
    try:
        return _computed(loaded, order)
    except Skipped:
        raise
    except Exception:
        for make in loaded.larger:
            model, config = make()
            try:
                return _computed(loaded._replace(model=model, config=config), order)
            except Exception:  # noqa: BLE001, S112 - the first error, of the smallest, is the one to tell
                continue
        if not order["inputs"] and getattr(loaded.model, "main_input_name", "") == "input_values":
            # Sound as it is, or what a feature extractor made of it: only its owner knows.
            raise Skipped("it does not take a second of plain sound at 16 kHz: give `inputs`") from None
        raise


def _computed(loaded: Loaded, order: dict[str, Any]) -> tuple[Any, str, list[str]]:
    torch = importlib.import_module("torch")
    loaded.model.eval()
    first = None
    for plain, named in _candidates(loaded, order):
        try:
            with torch.no_grad():
                result = loaded.model(*plain, **named)
        except Exception as error:  # noqa: BLE001 - a model that takes more inputs says so in many ways
            first = first or error
            continue
        if loaded.given and not_numbers(dict(result) if hasattr(result, "keys") else result):
            raise BrokenModelError("the result holds NaN")
        fed = ", ".join(f"{name} {shape_of(one)}" for name, one in named.items())
        return None, f"computed {_shape(result)}" + (f" from {fed}" if fed else ""), []
    if first is None:
        raise Skipped(f"it is not known what {type(loaded.model).__name__} takes: give `inputs`")
    raise first


def _shape(result: Any) -> str:
    if hasattr(result, "keys"):
        name = str(next(iter(result.keys())))
        return f"{name} {shape_of(result[name])}"
    return shape_of(result)


def _candidates(loaded: Loaded, order: dict[str, Any]) -> list[tuple[list[Any], dict[str, Any]]]:
    """Inputs to try: the owner's, or what the class says is its main one, then what else it takes."""
    if order["inputs"]:
        return [tensors(order["inputs"])]
    inspect = importlib.import_module("inspect")
    taken = inspect.signature(loaded.model.forward).parameters
    made = {name: make for name, make in _MAKERS.items() if name in taken}
    main = getattr(loaded.model, "main_input_name", "input_ids")
    order_of = [main] if main in made else list(made)[:1]
    if not order_of:
        return []
    alone = {name: value for name in order_of for name, value in made[name](loaded).items() if name in taken}
    if getattr(loaded.config, "is_encoder_decoder", False) and "decoder_input_ids" in taken:
        torch = importlib.import_module("torch")
        alone["decoder_input_ids"] = torch.tensor(
            [[getattr(loaded.config, "decoder_start_token_id", 0) or 0, 1]]
        )
    found: list[tuple[list[Any], dict[str, Any]]] = [([], alone)]
    rest = [name for name in made if name not in alone]
    try:
        everything = dict(alone)
        for name in rest:
            everything.update(
                {key: one for key, one in made[name](loaded).items() if key in taken and key not in alone}
            )
    except (BrokenModelError, TypeError, ValueError):
        return found
    return [*found, ([], everything)] if rest else found


def _ids(loaded: Loaded) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    size = _vocabulary(loaded)
    ids = [1 % size, *(number % size for number in range(5, 12))]
    if loaded.tokenizer is not None:
        ids = list(loaded.tokenizer("Is this thing seaworthy?")["input_ids"]) or ids
        if max(ids) >= size:
            raise BrokenModelError(f"the tokenizer gives the id {max(ids)}, and the model has {size} tokens")
    return {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}


def _vocabulary(loaded: Loaded) -> int:
    embeddings = (
        loaded.model.get_input_embeddings() if hasattr(loaded.model, "get_input_embeddings") else None
    )
    size = getattr(embeddings, "num_embeddings", None)
    return int(size or _setting(loaded.config, "vocab_size") or 2)


def _pixels(loaded: Loaded) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    size = _setting(loaded.config, "image_size") or 224
    if isinstance(size, dict):
        size = (size.get("height", 224), size.get("width", 224))
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    channels = _setting(loaded.config, "num_channels") or 3
    return {"pixel_values": torch.rand(1, int(channels), int(height), int(width))}


def _sound(_: Loaded) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    return {"input_values": torch.rand(1, 16_000)}


def _features(loaded: Loaded) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    bins = _setting(loaded.config, "num_mel_bins") or 80
    frames = 2 * int(_setting(loaded.config, "max_source_positions") or 500)
    return {"input_features": torch.rand(1, int(bins), frames)}


_MAKERS = {"input_ids": _ids, "pixel_values": _pixels, "input_values": _sound, "input_features": _features}


def _setting(config: Any, name: str) -> Any:
    """A value of the configuration, or of one inside it."""
    value = getattr(config, name, None)
    if value is not None:
        return value
    for inner in vars(config).values():
        if hasattr(inner, "to_dict") and hasattr(inner, "model_type"):
            value = getattr(inner, name, None)
            if value is not None:
                return value
    return None


def _gpu() -> bool:
    return bool(importlib.import_module("torch").cuda.is_available())
