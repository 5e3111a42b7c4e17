"""Prints the digests of a layer of wheels, as it is and for lazy pulling, and of a source layer.

Run it wherever they must come out the same.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import cast

from seatrial.images.assemble.install import Scheme, write_wheels
from seatrial.images.assemble.layer import LayerWriter
from seatrial.images.assemble.source_layer import read_source, write_source
from seatrial.images.assemble.wheel import read_wheel
from seatrial.images.lazy.writer import LazyWriter

LIBRARY = "/usr/local/lib/python3.11/site-packages"
SCHEME = Scheme(
    purelib=LIBRARY, platlib=LIBRARY, scripts="/usr/local/bin", headers="/usr/local/include/python3.11", data="/usr/local",
    shebang="/usr/local/bin/python3", python="3.11",
)  # fmt: skip


def main(folder: Path) -> None:
    """`folder` has wheels in `wheels/` and files in `source/`."""
    for kind in (LayerWriter, LazyWriter):
        with kind(io.BytesIO()) as writer:
            wheels = [read_wheel(path, path.name) for path in sorted((folder / "wheels").iterdir())]
            write_wheels(cast("LayerWriter", writer), wheels, SCHEME)
            done = writer.finish()
        print(done.digest, done.diff_id)
    source = folder / "source"
    files = sorted((path.relative_to(source).as_posix(), path) for path in source.rglob("*"))
    with LayerWriter(io.BytesIO()) as writer:
        write_source(writer, read_source(files, "/app"), 0, 0, 315532800)
        done = writer.finish()
    print(done.digest, done.diff_id)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
