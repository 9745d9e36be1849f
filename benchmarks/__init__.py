"""How fast this server is beside what one would write or pick instead: one run, one machine, the same answers."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent

# The throw-away PostgreSQL is that of the tests.
sys.path.append(str(ROOT / "tests"))
