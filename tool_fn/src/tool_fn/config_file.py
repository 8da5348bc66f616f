"""YAML without surprises: a key that is there twice is an error, and errors say where."""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from dormouse_runtime.settings import SettingsError

_AT: Final = re.compile(r"(.*) - at (`key` in )?`\$(.*)`", re.DOTALL)
_STEP: Final = re.compile(r"\[\.\.\.\]|\[\d+\]|\.\w+")


class _Loader(yaml.SafeLoader):
    """PyYAML's own takes the last of two equal keys without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str):
                if key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", key_node.start_mark)
                seen.add(key)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict[Any, Any]:
    """The mapping in a file; an empty file holds an empty one. Raises SettingsError with the line."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - derived from the safe one
    except OSError as error:
        raise SettingsError(f"DORMOUSE_TOOLS_CONFIG={path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" line {error.problem_mark.line + 1}:"
        raise SettingsError(f"{path}:{line} {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise SettingsError(f"{path}: is not YAML") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SettingsError(f"{path}: wants sections such as `http:`, not {type(document).__name__}")
    return document


def locate(document: dict[Any, Any], kind: type, problem: str) -> str:
    """msgspec's problem with its place first: "databases.shop.sql: Expected `bool`, got `int`".

    msgspec writes [...] where the way goes through a mapping: which entry it is shows when each is read alone.
    """
    found = _AT.fullmatch(problem)
    if found is None:
        return problem
    what, in_key, path = found.groups()
    way: list[str | int | None] = [
        None if step == "[...]" else int(step[1:-1]) if step.startswith("[") else step.lstrip(".")
        for step in _STEP.findall(path)
    ]
    if in_key:
        way.append(None)
    for position, step in enumerate(way):
        if step is None:
            way[position] = _failing_entry(document, way[:position], kind, problem)
    named = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in way).removeprefix(".")
    return f"{named}: {what}" + (" (of the name itself)" if in_key else "")


def _failing_entry(document: Any, way: list[str | int | None], kind: type, problem: str) -> str:
    entries = document
    for step in way:
        entries = entries[step]
    for name, value in entries.items():
        try:
            msgspec.convert(_replaced(document, way, {name: value}), kind)
        except msgspec.ValidationError as error:
            if str(error) == problem:
                return str(name)
    return "…"


def _replaced(part: Any, way: list[str | int | None], value: Any) -> Any:
    """A copy with another value at the end of the way."""
    if not way:
        return value
    inner = _replaced(part[way[0]], way[1:], value)
    if isinstance(part, list):
        return [inner if number == way[0] else item for number, item in enumerate(part)]
    return {**part, way[0]: inner}
