"""Puts the files of GraphiQL into the package while it is built: into wheels, sdists and editable installs."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ExplorerBuildHook(BuildHookInterface[Any]):
    """Fetches what is missing; where that is impossible it says so, and the package is built without."""

    def dependencies(self) -> list[str]:
        """Ask for npm where the machine has none and one can be had."""
        requirement = self._assets().requirement()
        return [requirement] if requirement else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the files beside the code, from where they are packed."""
        assets = self._assets()
        if not assets.missing():
            return
        try:
            assets.fetch()
        except assets.FetchFailed as failed:
            self.app.display_warning(
                f"{failed}\nThe explorer page is left without GraphiQL; `cm-graphql explorer fetch` can bring it later."
            )

    def _assets(self) -> ModuleType:
        """Load the module by its path: what the package itself needs is not installed in a build."""
        name = "_cm_graphql_explorer_assets"
        if name not in sys.modules:
            path = Path(self.root, "src", "cm_graphql", "api", "explorer", "assets.py")
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[name]
