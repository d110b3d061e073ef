"""Where things are in the repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "cinesync"
DATA = ROOT / "tests" / "support" / "data"
