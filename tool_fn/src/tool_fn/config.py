"""What an operator configures in one YAML file: where tools reach, which databases and MCP servers, which tools.

Every section and every field may be missing. Secrets never stand in the file: fields that end in `_env` hold the name
of an environment variable.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from dormouse_runtime.settings import SettingsError
from msgspec import Meta

from tool_fn.web.rules import Rules

Url = Annotated[str, Meta(pattern=r"^https?://[^/\s]+\S*$")]
UrlOrNone = Annotated[str, Meta(pattern=r"^(https?://[^/\s]+\S*)?$")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
VariableOrNone = Annotated[str, Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")]
Identifier = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
HostAndPort = Annotated[str, Meta(pattern=r"^(\[[0-9a-fA-F:.]+\]|[^\s:/]+):[0-9]{1,5}$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file."""


class Http(Section, frozen=True):
    """What tools may reach over HTTP.

    allow: host names, or patterns such as `*.example.org`, with `:port` for other ports than the web's; empty: every
    public host. allow_private: host:port that are let through although they are inside. max_bytes: the longest answer
    that is read. contact: an address or URL at which providers reach you, such as Wikimedia asks for.
    """

    allow: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    allow_private: tuple[HostAndPort, ...] = ()
    max_bytes: Annotated[int, Meta(ge=1024, le=100_000_000)] = 1_000_000
    contact: Annotated[str, Meta(pattern=r"^[ -~]{0,200}$")] = ""

    def __post_init__(self) -> None:
        Rules.read(self.allow, self.allow_private)


class Search(Section, frozen=True):
    """Tavily where its key is set, else SearXNG where its URL is, else none."""

    tavily_url: Url = "https://api.tavily.com"
    tavily_key_env: VariableOrNone = "TAVILY_API_KEY"
    searxng_url: UrlOrNone = ""


class Wikipedia(Section, frozen=True):
    """url: of MediaWiki's api.php; `{language}` stands for the language that a call asks for, or `language`."""

    url: Url = "https://{language}.wikipedia.org/w/api.php"
    language: Annotated[str, Meta(pattern=r"^[a-z][a-z-]{1,19}$")] = "en"


class Weather(Section, frozen=True):
    """Open-Meteo, or servers that speak as it does."""

    geocoding_url: Url = "https://geocoding-api.open-meteo.com"
    forecast_url: Url = "https://api.open-meteo.com"


class Database(Section, frozen=True):
    """A Postgres that tools may read. url_env: the variable with its URL. sql: whether sql_query offers it."""

    url_env: Variable
    description: str = ""
    sql: bool = False


class Parameter(Section, frozen=True):
    """A parameter of a lookup."""

    description: str
    type: Literal["string", "integer", "number", "boolean"] = "string"


class Lookup(Section, frozen=True):
    """A query with parameters that becomes a tool of its own. sql: parameters stand in it as `%(name)s`."""

    name: Identifier
    description: Annotated[str, Meta(min_length=1)]
    database: str
    sql: Annotated[str, Meta(min_length=1)]
    parameters: dict[Identifier, Parameter] = {}
    max_rows: Annotated[int, Meta(ge=1, le=1000)] = 20


class McpServer(Section, frozen=True):
    """An MCP server (streamable HTTP). tools: those to offer; empty: all. approve: whether a person approves calls.

    token_env: the variable with its bearer token; empty: none.
    """

    url: Url
    token_env: VariableOrNone = ""
    tools: tuple[str, ...] = ()
    approve: bool = True


class Mcp(Section, frozen=True):
    """MCP servers by a short name of the operator's."""

    servers: dict[Identifier, McpServer] = {}


class Config(Section, frozen=True):
    """The whole file.

    own: for the operator's own tools, as they like; a value whose name ends in `_env` is the name of a variable.
    approval: by tool, in place of what the tool says. disabled: tools that do not exist here.
    """

    http: Http = Http()
    search: Search = Search()
    wikipedia: Wikipedia = Wikipedia()
    weather: Weather = Weather()
    databases: dict[Identifier, Database] = {}
    lookups: tuple[Lookup, ...] = ()
    mcp: Mcp = Mcp()
    own: dict[str, str | int | float | bool] = {}
    approval: dict[str, bool] = {}
    disabled: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for number, lookup in enumerate(self.lookups):
            if lookup.database not in self.databases:
                raise ValueError(f"lookups[{number}].database: there is no database {lookup.database!r} in the file")

    def required_variables(self) -> Iterator[tuple[str, str]]:
        """The environment variables that have to be set, each with its place in the file."""
        for name, database in self.databases.items():
            yield f"databases.{name}.url_env", database.url_env
        for name, server in self.mcp.servers.items():
            if server.token_env:
                yield f"mcp.servers.{name}.token_env", server.token_env
        for name, value in self.own.items():
            if name.endswith("_env"):
                yield f"own.{name}", str(value)

    def optional_variables(self) -> Iterator[str]:
        """Those that may be unset."""
        if self.search.tavily_key_env:
            yield self.search.tavily_key_env


class Secrets(Mapping[str, str]):
    """The values of the variables that the configuration names. Prints as their names."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = dict(values)

    @classmethod
    def collect(cls, config: Config, path: Path | None, environ: Mapping[str, str]) -> "Secrets":
        """Raises SettingsError for one that has to be set and is not."""
        names = set(config.optional_variables())
        for place, name in config.required_variables():
            if not environ.get(name):
                raise SettingsError(f"{path}: {place}: the environment variable {name} is not set")
            names.add(name)
        return cls({name: environ[name] for name in names if environ.get(name)})

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"


def read_config(path: Path | None) -> Config:
    """Reads the file; None: what holds without one. Raises SettingsError, which names the place in the file."""
    if path is None:
        return Config()
    from tool_fn.config_file import load_yaml, locate  # YAML is loaded only where there is some

    document = load_yaml(path)
    # A section with nothing below it.
    sections = {name: value for name, value in document.items() if value is not None}
    try:
        return msgspec.convert(sections, Config)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {locate(sections, Config, str(error))}") from error
