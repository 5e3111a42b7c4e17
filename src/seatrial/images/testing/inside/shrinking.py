"""The same architecture, smaller: fewer layers, fewer experts, then narrower, so that it fits in little memory.

Nothing is known here about single architectures. A width is divided by a number that divides every count of heads in
the configuration and in those inside it, so that heads keep their size and groups of heads their ratio.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LAYERS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_encoder_layers", "decoder_num_layers", "encoder_num_layers", "num_encoder_blocks_layers", "depth",
)  # fmt: skip
_HEADS = (
    "num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads",
    "decoder_attention_heads", "num_kv_heads", "n_head_kv", "num_decoder_attention_heads", "decoder_num_heads",
)  # fmt: skip
_WIDTHS = (
    "hidden_size", "n_embd", "d_model", "dim", "hidden_dim", "intermediate_size", "d_ff", "ffn_dim", "n_inner",
    "encoder_ffn_dim", "decoder_ffn_dim", "moe_intermediate_size", "shared_expert_intermediate_size",
    "encoder_hidden_size", "embed_dim", "decoder_ffn_embed_dim", "encoder_ffn_embed_dim", "ffn_hidden_size",
    "word_embed_proj_dim", "decoder_hidden_size", "decoder_intermediate_size", "q_lora_rank",
)  # fmt: skip
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_PERIODS = (
    "attn_layer_period",
    "expert_layer_period",
    "full_attention_interval",
    "sliding_window_pattern",
    "decoder_sparse_step",
)
_FEWEST_LAYERS, _FEW_HEADS = 2, 4


def rungs(config: Any) -> Iterator[tuple[str, Any]]:
    """The configuration as it is, then ever smaller ones, each with what was done."""
    yield "as configured", config
    shallow = _each(config, _fewer_layers)
    yield "with fewer layers", shallow
    scarce = _each(shallow, _fewer_experts)
    yield "with fewer layers and experts", scarce
    yield "with fewer layers and experts, and narrower", _narrower(scarce, _FEW_HEADS)
    yield "with fewer layers and experts, and much narrower", _narrower(scarce, 1)


def _each(config: Any, change: Callable[[Any], None]) -> Any:
    """A copy in which `change` was applied to the configuration and to those inside it."""
    changed = copy.deepcopy(config)
    for one in _inside(changed):
        change(one)
    return changed


def _inside(config: Any, depth: int = 0) -> Iterator[Any]:
    yield config
    if depth < 3:  # noqa: PLR2004 - a configuration that holds itself
        for value in list(vars(config).values()):
            if hasattr(value, "to_dict") and hasattr(value, "model_type"):
                yield from _inside(value, depth + 1)


def _whole(config: Any, name: str) -> int:
    value = vars(config).get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _fewer_layers(config: Any) -> None:
    counts = {name: _whole(config, name) for name in _LAYERS if _whole(config, name) > _FEWEST_LAYERS}
    if not counts:
        return
    periods = [_whole(config, name) for name in _PERIODS]
    least = max(_FEWEST_LAYERS, *periods, _whole(config, "first_k_dense_replace") + 1)
    # A list with an entry for each layer keeps as many as show every kind of layer once.
    lists = {
        name: value
        for name, value in vars(config).items()
        if isinstance(value, (list, tuple)) and len(value) in counts.values() and len(value) > _FEWEST_LAYERS
    }
    for value in lists.values():
        kinds = [repr(one) for one in value]
        if len(set(kinds)) < len(kinds):
            least = max(least, *(kinds.index(kind) + 1 for kind in set(kinds)))
    for name, count in counts.items():
        setattr(config, name, min(count, least))
    for name, value in lists.items():
        setattr(config, name, value[:least])


def _fewer_experts(config: Any) -> None:
    chosen = max(_whole(config, "num_experts_per_tok"), _whole(config, "num_experts_per_token"), 2)
    group = _whole(config, "n_group") or 1
    least = max(math.ceil(chosen / group), 2) * group
    for name in _EXPERTS:
        if _whole(config, name) > least:
            setattr(config, name, least)


def _narrower(config: Any, least: int) -> Any:
    """All widths divided by the same number, so that at least so many heads are left where there are as many."""
    heads = [count for one in _inside(config) for name in _HEADS for count in [_whole(one, name)] if count]
    if not heads:
        return config
    common = functools.reduce(math.gcd, heads)
    fitting = (
        number for number in range(common, 0, -1) if common % number == 0 and min(heads) // number >= least
    )
    divisor = next(fitting, 1)

    def divide(one: Any) -> None:
        for name in (*_HEADS, *_WIDTHS):
            value = _whole(one, name)
            if value and value % divisor == 0:
                setattr(one, name, value // divisor)

    return _each(config, divide)
