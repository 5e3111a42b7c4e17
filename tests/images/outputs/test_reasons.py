"""Of each layer: why it is one, and why it is new."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.assemble.image import assemble_project, plan_project
from support import assembling, bases, wheels
from support.assembling import PLATFORMS, spec

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.assemble.spec import Assembled


def reasons(done: Assembled) -> dict[str, str]:
    """What the new layers hold, and why they are new."""
    return {layer.what: layer.reason for layer in done.layers if not layer.reused}


def test_every_layer_says_why_it_is_one(project: Path, base: Path, wheelhouse: Path, tmp_path: Path) -> None:
    wheels.wheel(wheelhouse, "large", "1.0", {"large/data": bytes(9 << 20)}, stored=("large/data",))
    (project / "requirements.txt").write_text("outer\nlarge\n")
    done = assemble_project(spec(project, base), out=tmp_path / "out")
    why = {layer.what: layer.why for layer in done.layers}
    assert why["large 1.0"] == "alone, as its wheel is large: 9.4 MB"
    assert why["inner 1.0"].startswith("small packages, group ")
    assert why["source"] == "2 files of the project; last, as they change most"
    assert "account" in why["user app, folders"]
    assert why[f"base {base}"] == "the base, taken over as it is"
    assert set(reasons(done).values()) == {"not made before on this machine"}
    again = assemble_project(spec(project, base), out=tmp_path / "out")
    assert [layer.reason for layer in again.layers] == [""] * len(again.layers)


def test_what_changed_is_named(project: Path, base: Path, wheelhouse: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assemble_project(spec(project, base), out=out)
    wheels.wheel(wheelhouse, "inner", "1.1", {"inner/__init__.py": b"value = 8\n"})
    done = assemble_project(spec(project, base), out=out, refresh=True)
    assert reasons(done) == {"inner 1.1": "inner 1.0 → 1.1"}
    (project / "app.py").write_text("print('other')\n")
    (project / "more.py").write_text("")
    done = assemble_project(spec(project, base), out=out)
    assert reasons(done) == {"source": "1 source file changed: app.py; 1 source file added: more.py"}
    (project / "more.py").unlink()
    (project / "app.py").chmod(0o755)
    done = assemble_project(spec(project, base), out=out)
    assert reasons(done) == {"source": "1 source file removed: more.py; executable files changed"}
    done = assemble_project(spec(project, base, user="web", owner="user"), out=out)
    assert reasons(done) == {
        "source": "owner 0:0 → 33:33",
        "user web, folders": "user app (10001:10001) → web (33:33); folders changed; accounts of the base changed",
    }
    assert done.images[0].settings_changed == ("User",)
    done = assemble_project(spec(project, base, user="web", owner="user", env={"A": "1"}), out=out)
    assert reasons(done) == {}
    assert done.images[0].settings_changed == ("Env",)


def test_what_came_and_went_is_named(project: Path, base: Path, wheelhouse: Path, tmp_path: Path) -> None:
    """Names of one group, by their hash."""
    from seatrial.images.assemble.groups import shared

    names = [f"package{number}" for number in range(60)]
    first, second, *_ = [name for name in names if shared(name, 90)[0] == 1]
    for name in (first, second):
        wheels.wheel(wheelhouse, name, "1.0")
    (project / "requirements.txt").write_text(f"{first}\n")
    assemble_project(spec(project, base, source=()), out=tmp_path / "out")
    (project / "requirements.txt").write_text(f"{first}\n{second}\n")
    done = assemble_project(spec(project, base, source=()), out=tmp_path / "out")
    assert list(reasons(done).values()) == [f"{second} 1.0 is new"]
    (project / "requirements.txt").write_text(f"{second}\n")
    done = assemble_project(spec(project, base, source=()), out=tmp_path / "out")
    assert list(reasons(done).values()) == [f"{first} 1.0 is gone"]


def test_another_base_is_named(project: Path, base: Path, tmp_path: Path) -> None:
    assemble_project(spec(project, base), out=tmp_path / "out")
    other = bases.base(tmp_path / "other", extra={"/etc/more": b"x"})
    done = assemble_project(spec(project, other, platforms=("linux/amd64",)), out=tmp_path / "out")
    assert done.layers[0].reason == f"base changed: {base} → {other}"
    before = done.images[0].digest
    shutil.rmtree(other)
    bases.base(other, extra={"/etc/more": b"y"})
    done = assemble_project(spec(project, other, platforms=("linux/amd64",)), out=tmp_path / "out")
    assert done.layers[0].reason.startswith(f"base changed: {other} was ")
    assert done.images[0].digest != before


def test_what_was_pruned_is_not_a_change(project: Path, base: Path, tmp_path: Path) -> None:
    assemble_project(spec(project, base), out=tmp_path / "out")
    assembling.forget_layers(tmp_path / "cache")
    done = assemble_project(spec(project, base), out=tmp_path / "out")
    assert set(reasons(done).values()) == {"made before, but no longer in the cache"}


def test_the_last_image_of_a_project_counts_where_the_folder_is_new(
    project: Path, base: Path, tmp_path: Path
) -> None:
    assemble_project(spec(project, base), out=tmp_path / "one")
    (project / "more.py").write_text("")
    done = assemble_project(spec(project, base), out=tmp_path / "two")
    assert reasons(done) == {"source": "1 source file added: more.py"}


def test_a_look_ahead_makes_nothing_and_is_right(project: Path, both: Path, tmp_path: Path) -> None:
    wanted = spec(project, both, platforms=PLATFORMS)
    seen = plan_project(wanted, out=tmp_path / "out")
    assert (seen.digest, seen.missing_wheels) == ("", 2)
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "cache" / "layers").iterdir()) == []
    assert not list((tmp_path / "cache").glob("wheels/*"))
    made = assemble_project(wanted, out=tmp_path / "out")
    assert [(a.what, a.reused, a.reason) for i in seen.images for a in i.layers] == [
        (a.what, a.reused, a.reason) for i in made.images for a in i.layers
    ]
    again = plan_project(wanted, out=tmp_path / "out")
    assert (again.digest, again.missing_wheels) == (made.digest, 0)
    assert [image.digest for image in again.images] == [image.digest for image in made.images]
    assert again.size == made.size


def test_a_look_ahead_refuses_what_assembling_refuses(project: Path, base: Path, tmp_path: Path) -> None:
    (project / ".env").write_text("TOKEN=1\n")
    with pytest.raises(SeatrialError, match="would give a secret"):
        plan_project(spec(project, base), out=tmp_path / "out")
