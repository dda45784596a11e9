"""What a model card says, taken apart."""

from __future__ import annotations

import re

import yaml


def text_of(bundle) -> str:
    return (bundle.folder / "README.md").read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of its level."""
    level = heading.split()[0]
    lines = text.split(f"\n{heading}\n")[1]
    return re.split(rf"^{level} ", lines, flags=re.MULTILINE)[0].split("\n## ")[0]


def snippet(bundle, heading: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", section(text_of(bundle), f"### {heading}"), re.DOTALL)
    return found


def executed(bundle, heading, monkeypatch) -> dict:
    """What a snippet of Python leaves behind, run from the folder of the bundle as a reader would."""
    monkeypatch.chdir(bundle.folder)
    namespace: dict = {}
    exec(snippet(bundle, heading, "python"), namespace)
    return namespace


def header(text: str) -> dict:
    opening, metadata, _ = text.split("---\n", 2)
    assert opening == ""
    return yaml.safe_load(metadata)


def table(text: str) -> list[list[str]]:
    """The cells of the only table of a text, without its heading."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]
