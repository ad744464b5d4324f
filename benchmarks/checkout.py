"""Puts this checkout's root where imports are looked for, so that nothing need be installed."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
