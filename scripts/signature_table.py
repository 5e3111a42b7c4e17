"""Write the table of signature ids into docs/reference/signatures.md."""

from __future__ import annotations

from pathlib import Path

from seatrial.diagnosis import loading

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "signatures.md"
HEAD = "## Ids\n"


def page(text: str) -> str:
    """The page with the table of what there is now."""
    titles: dict[tuple[str, str], str] = {}
    for one in loading.builtin():
        titles.setdefault((one.service, one.id), one.title)
    rows = [
        f"| {service} | `{name}` | {title.replace('|', chr(92) + '|')} |"
        for (service, name), title in sorted(titles.items())
    ]
    table = "\n".join(["| service | id | cause |", "| --- | --- | --- |", *rows])
    return f"{text[: text.index(HEAD)]}{HEAD}\n{table}\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
