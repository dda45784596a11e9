"""What TF Serving reads beside a SavedModel."""

from __future__ import annotations

from pathlib import Path

CONFIG = "models.config"


def write_config(name: str, folder: Path) -> None:
    """Writes `models.config` into the folder of versions.

    Args:
        name: The name the model is served under, which is also its folder under `/models` in the
            TF Serving image.
        folder: The folder of versions.
    """
    (folder / CONFIG).write_text(
        "model_config_list {\n"
        "  config {\n"
        f'    name: "{name}"\n'
        f'    base_path: "/models/{name}"\n'
        '    model_platform: "tensorflow"\n'
        "  }\n"
        "}\n",
        encoding="utf-8",
    )
