"""Zuora-compatible credit memos served as a GraphQL API."""

import sys

if "rich" not in sys.modules:
    # structlog loads it, where it is installed, for tracebacks in colours that are not shown here: 3 MB of each worker.
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]
