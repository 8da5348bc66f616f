"""The settings of tool_fn, read from the environment and the operator's file once at start."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dormouse_runtime.settings import Environment

from tool_fn.config import Config, Secrets, read_config


@dataclass(frozen=True, slots=True)
class Settings:
    """config, secrets: of the operator's file, if there is one. tools_path: a folder with the operator's own tools.

    postgres_url: empty: tools with side effects refuse to run. embed_target: empty: no documents. most_running: tools
    at a time; calls beyond are refused. kept_days: how long the result of a call with side effects can be had again.
    """

    config: Config
    secrets: Secrets
    tools_path: Path | None
    postgres_url: str
    embed_target: str
    most_running: int
    kept_days: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Reads the variables and the file; raises SettingsError."""
        env = Environment(environ)
        config_path = _path(env, "DORMOUSE_TOOLS_CONFIG")
        config = read_config(config_path)
        return cls(
            config=config,
            secrets=Secrets.collect(config, config_path, environ),
            tools_path=_path(env, "DORMOUSE_TOOLS_PATH"),
            postgres_url=env.postgres_url("DORMOUSE_POSTGRES_URL"),
            embed_target=env.text("DORMOUSE_EMBED_TARGET", ""),
            most_running=env.integer("DORMOUSE_MAX_RUNNING_TOOLS", 64, least=1),
            kept_days=env.integer("DORMOUSE_TOOL_CALLS_KEPT_DAYS", 7, least=1, most=3650),
        )


def _path(env: Environment, name: str) -> Path | None:
    text = env.text(name, "")
    return Path(text) if text else None
