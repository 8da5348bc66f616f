"""Stands in for packages that langgraph imports and this function never uses.

langgraph and langchain_core import LangSmith's client (tracing to a service) and langgraph_sdk's (calls to a LangGraph
server): with their HTTP stacks more than half of langgraph's import time and 20 MB. agent_fn traces by OpenTelemetry
and serves graphs itself, so neither may ever work here: a stray LANGSMITH_TRACING in the environment must not send
prompts to anybody.

`install()` has to run before the first import of langgraph. Without it everything works too, only slower.
"""

import importlib.util
import sys
from types import ModuleType


class _Unused:
    """Takes the place of a class that is only named: in annotations, isinstance checks and aliases."""


def _no_tracing() -> dict[str, object]:
    """What langsmith.run_helpers.get_tracing_context answers where nothing is traced."""
    return {
        "parent": None,
        "project_name": None,
        "tags": None,
        "metadata": None,
        "enabled": False,
        "client": None,
        "replicas": None,
        "distributed_parent_id": None,
    }


def _ignore_context(_context: object) -> None:
    """Takes the place of langsmith.run_helpers._set_tracing_context."""


def _never() -> bool:
    """Takes the place of langsmith.utils.tracing_is_enabled."""
    return False


def _module(name: str, **attributes: object) -> ModuleType:
    module = ModuleType(name, f"Stands in for {name}: see {__name__}.")
    module.__dict__.update(attributes)
    return module


def _langsmith() -> dict[str, ModuleType]:
    parts = {
        "run_trees": _module("langsmith.run_trees", RunTree=_Unused, _CLIENT=None),
        "run_helpers": _module(
            "langsmith.run_helpers", get_tracing_context=_no_tracing, _set_tracing_context=_ignore_context
        ),
        "utils": _module("langsmith.utils", tracing_is_enabled=_never, LangSmithError=Exception),
        "address": _module("langsmith.address", AgentAddress=_Unused),
    }
    package = _module(
        "langsmith", __path__=[], Client=_Unused, RunTree=_Unused, get_tracing_context=_no_tracing, **parts
    )
    return {"langsmith": package} | {f"langsmith.{name}": module for name, module in parts.items()}


def _without_init(name: str) -> ModuleType | None:
    """The package `name` with its submodules in reach but nothing that its __init__ would import."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.submodule_search_locations is None:
        return None
    return _module(name, __path__=list(spec.submodule_search_locations), __spec__=spec)


def install() -> None:
    """Puts the stand-ins in place of packages that are not imported yet."""
    if "langsmith" not in sys.modules:
        sys.modules.update(_langsmith())
    # langgraph needs langgraph_sdk.auth.types, and that needs nothing of the client.
    if "langgraph_sdk" not in sys.modules and (package := _without_init("langgraph_sdk")) is not None:
        sys.modules["langgraph_sdk"] = package
