"""What a checkpoint's description says about where its weights come from."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GENERATED_SOURCES = ("rooms", "pairs")


def trained_on_generated_data_alone(meta: Mapping[str, Any]) -> bool:
    """Whether nothing but the project's own generators has shaped the weights: no other data, no encoder that began
    with weights from a file or hub, and no such run that this one, or one before it, began with."""
    recipe = meta.get("recipe") or {}
    origin = meta.get("started_from")
    return (
        (recipe.get("data") or {}).get("source") in GENERATED_SOURCES
        and not _names_weights(recipe.get("model"))
        and not _names_weights(meta.get("model"))
        and (origin is None or bool(origin.get("generated_data_alone")))
    )


def current_commit() -> str:
    """The commit of the working tree, `+` when tracked files differ from it, "unknown" outside a repository or git."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return "unknown"
    if head.returncode != 0:
        return "unknown"
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _names_weights(config: Any) -> bool:
    """Whether `pretrained` is given anywhere in a network's configuration."""
    if not isinstance(config, Mapping):
        return False
    return bool(config.get("pretrained")) or any(_names_weights(value) for value in config.values())
