"""Where the linted source stands."""

from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "cinesync"
