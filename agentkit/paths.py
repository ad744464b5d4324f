"""Where things are kept when nobody says otherwise."""

import os
from pathlib import Path

import platformdirs


def home() -> Path:
    """Return AGENTKIT_HOME, else the platform's folder for user data."""
    return Path(os.environ.get("AGENTKIT_HOME") or platformdirs.user_data_dir("agentkit", False))


def models_dir() -> Path:
    """Return the folder of downloaded weights, one folder a model."""
    return home() / "models"
