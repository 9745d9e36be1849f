"""Zuora-compatible credit memos served as a GraphQL API."""

import importlib
import sys
from types import ModuleType
from typing import Any

# What follows keeps libraries from loading what nothing here uses: 9 MB of each worker.


def _load_structlog() -> None:
    """Load structlog without rich, which it takes, where it is installed, for tracebacks in colours."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


class _Later(ModuleType):
    """Stands for a module as long as another is loaded that takes names from it."""

    def __getattr__(self, name: str) -> Any:
        return self


def _load_sqlalchemy() -> None:
    """Load SQLAlchemy for asyncio without its sessions and their ORM; whoever asks for a session finds it there."""
    package = "sqlalchemy.ext.asyncio"
    if package in sys.modules:
        return
    names = (f"{package}.scoping", f"{package}.session")
    sys.modules.update({name: _Later(name) for name in names})
    try:
        loaded = importlib.import_module(package)
    finally:
        for name in names:
            del sys.modules[name]
    for name in [name for name, value in vars(loaded).items() if isinstance(value, _Later)]:
        delattr(loaded, name)

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for module in map(importlib.import_module, names):
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    loaded.__getattr__ = find  # type: ignore[method-assign]


_load_structlog()
_load_sqlalchemy()
