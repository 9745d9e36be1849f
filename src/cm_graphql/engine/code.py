"""Source code that a plan's functions are generated as: straight lines, made of literals and names that we chose."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from cm_graphql.engine.plan import Child


class Code:
    """Gathers what generated code refers to, and makes the function of it."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self._names: dict[str, Any] = {}

    def constant(self, value: Any) -> str:
        """A name for a value in the code."""
        name = f"c{len(self._names)}"
        self._names[name] = value
        return name

    def child(self, child: "Child", label: str) -> str:
        """A name for the answers of a child, which stands under this key in the answer."""
        child.label = label
        self.children.append(child)
        return f"k{len(self.children) - 1}"

    def shape(self, entries: str) -> Callable[..., Any]:
        """The function that makes the objects of rows; response keys are in it as quoted literals only."""
        names = "".join(f"k{i}, " for i in range(len(self.children)))
        unpacked = f"    {names}= answers\n" if names else ""
        return self._made("rows, answers, context", f"{unpacked}    return [{entries} for r in rows]")

    def function(self, parameters: str, value: str) -> Callable[..., Any]:
        """A function of some parameters that gives a value of this source."""
        return self._made(parameters, f"    return {value}")

    def _made(self, parameters: str, body: str) -> Callable[..., Any]:
        namespace = dict(self._names)
        exec(f"def made({parameters}):\n{body}", namespace)  # noqa: S102 - no word of a request is in it unquoted
        # What stands in its own namespace would wait for the collector, once its plan is forgotten.
        return cast(Callable[..., Any], namespace.pop("made"))
