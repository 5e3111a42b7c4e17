"""What `seatrial image assemble` tells people: each layer and why, and what was or would be done."""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from seatrial.cli.common import note
from seatrial.reports.units import counted, size

if TYPE_CHECKING:
    from seatrial.images.assemble.spec import Assembled, AssembledLayer

_SHADES = {"new": "33", "reused": "32", "dim": "2"}
_NARROWEST, _WIDEST = 50, 110
_INDENT = 20


def explain(done: Assembled) -> None:
    """Each layer: its size, whether it is new, what is in it, why it is a layer, and why it is new."""
    from seatrial.images.outputs.reasons import FIRST

    for image in done.images:
        if len(done.images) > 1:
            note(f"{image.platform}  {image.digest or 'not made yet'}")
        for layer in image.layers:
            _explain_layer(layer, said=layer.reason == FIRST)
        if image.settings_changed:
            note(f"{' ' * _INDENT}settings that changed: {', '.join(image.settings_changed)}")
    if any(layer.reason == FIRST for layer in done.layers):
        note("what is new was not made before on this machine")


def summarise(done: Assembled) -> None:
    """Notes, how many layers there are, and how much of it is new."""
    for line in done.notes:
        note(f"note: {line}")
    new = sum(layer.size for layer in done.layers if not layer.reused)
    platforms = f" for {' and '.join(i.platform for i in done.images)}" if len(done.images) > 1 else ""
    note(
        f"{counted(len(done.layers), 'layer')}{platforms}, {size(done.size)}, of which {size(new)} new, "
        f"in {done.seconds:.1f} s"
    )


def foresee(done: Assembled) -> None:
    """What a dry run found."""
    for line in done.notes:
        note(f"note: {line}")
    new = sum(not layer.reused for layer in done.layers)
    fetch = (
        f"{counted(done.missing_wheels, 'wheel')} to fetch, {size(done.missing_bytes)}"
        if done.missing_wheels
        else "nothing to fetch"
    )
    note(f"dry run: {counted(len(done.layers), 'layer')}, {new} to make, {fetch}; no image was written")


def _explain_layer(layer: AssembledLayer, *, said: bool) -> None:
    state = "reused" if layer.reused else "new"
    first, *rest = _wrapped(layer.what)
    note(f"{size(layer.size) if layer.digest else '?':>10}  {_paint(f'{state:6}', state)}  {first}")
    for line in rest:
        note(" " * _INDENT + line)
    for text in (layer.why, "" if said else layer.reason):
        for line in _wrapped(text, 2) if text else ():
            note(" " * (_INDENT + 2) + _paint(line, "dim"))


def _wrapped(text: str, further: int = 0) -> list[str]:
    columns = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    return textwrap.wrap(text, columns - _INDENT - further, break_on_hyphens=False) or [""]


def _paint(text: str, shade: str) -> str:
    from seatrial.reports.text import wants_colour

    return f"\x1b[{_SHADES[shade]}m{text}\x1b[0m" if wants_colour(sys.stderr) else text
