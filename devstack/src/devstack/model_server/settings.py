"""Settings of the development model server: where it listens, and the GPU it pretends to be."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

ABOUT = (
    "Speaks Ollama's HTTP protocol without a language model: answers are made by a small deterministic program "
    "from the words of the question. For development, tests and load tests only; it is not an LLM."
)


class SettingsError(ValueError):
    """A setting that cannot be used; the message names it and says what it wants."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """The GPU being simulated. Times are milliseconds; every knob can be changed at run time."""

    ttft_ms: float = field(default=20.0, metadata={"help": "time to first token once a slot is free, in ms"})
    token_ms: float = field(default=10.0, metadata={"help": "time per further token, in ms"})
    tokens: int = field(default=64, metadata={"help": "tokens in every answer of the simulated model (sim:latest)"})
    slots: int = field(default=0, metadata={"help": "requests one model works on at once; 0 = no limit"})
    queue: int = field(
        default=512, metadata={"help": "requests that may wait for a slot; one more is refused with 503"}
    )
    load_ms: float = field(default=0.0, metadata={"help": "time to load a model that is not loaded, in ms"})
    embed_ms: float = field(default=0.0, metadata={"help": "time an embedding request takes, in ms"})
    pull_ms: float = field(default=200.0, metadata={"help": "time a pull takes, in ms"})
    linger_ms: float = field(default=0.0, metadata={"help": "time a slot stays busy after its client left, in ms"})
    think: int = field(
        default=0, metadata={"help": "1 = models that can think do unless they are told not to, as Ollama's do"}
    )
    seed: int = field(default=0, metadata={"help": "seed of faults that happen by probability"})

    def changed(self, values: Mapping[str, Any]) -> Simulation:
        """A copy with the given knobs changed. Raises SettingsError for an unknown knob or a bad value."""
        kinds = {knob.name: int if knob.type == "int" else float for knob in fields(self)}
        checked: dict[str, Any] = {}
        for name, value in values.items():
            if name not in kinds:
                raise SettingsError(f"there is no setting {name!r}; there are {', '.join(sorted(kinds))}")
            if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0:
                raise SettingsError(f"{name} wants a number that is not negative, not {value!r}")
            checked[name] = kinds[name](value)
        return replace(self, **checked)


ENVIRONMENT = {
    "ttft_ms": "DORMOUSE_SIM_TTFT_MS",
    "token_ms": "DORMOUSE_SIM_TOKEN_MS",
    "tokens": "DORMOUSE_SIM_TOKENS",
    "slots": "OLLAMA_NUM_PARALLEL",
    "queue": "OLLAMA_MAX_QUEUE",
    "load_ms": "DORMOUSE_SIM_LOAD_MS",
    "embed_ms": "DORMOUSE_SIM_EMBED_MS",
    "pull_ms": "DORMOUSE_SIM_PULL_MS",
    "linger_ms": "DORMOUSE_SIM_LINGER_MS",
    "think": "DORMOUSE_SIM_THINK",
    "seed": "DORMOUSE_SIM_SEED",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is started with."""

    host: str = "127.0.0.1"
    port: int = 11434
    journal: int = 5000
    simulation: Simulation = Simulation()

    @classmethod
    def read(cls, argv: Sequence[str], environ: Mapping[str, str]) -> Settings:
        """Settings from the command line, which wins, and the environment. Raises SettingsError."""
        arguments = vars(_parser().parse_args(argv))
        host, port = _address(arguments["listen"] or environ.get("DORMOUSE_LISTEN") or "127.0.0.1:11434")
        knobs: dict[str, float] = {}
        for name, variable in ENVIRONMENT.items():
            if arguments[name] is not None:
                knobs[name] = arguments[name]
            elif environ.get(variable):
                knobs[name] = _number(variable, environ[variable])
        return cls(host, port, arguments["journal"], Simulation().changed(knobs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devstack.model_server", description=ABOUT)
    parser.add_argument(
        "--listen", metavar="HOST:PORT", help="address, port 0 = any (DORMOUSE_LISTEN, 127.0.0.1:11434)"
    )
    parser.add_argument(
        "--journal", type=int, default=5000, metavar="N", help="finished requests kept in the log (5000)"
    )
    for knob in fields(Simulation):
        text = f"{knob.metadata['help']} ({ENVIRONMENT[knob.name]}, {knob.default:g})"
        parser.add_argument(
            f"--{knob.name.replace('_', '-')}", type=int if knob.type == "int" else float, metavar="N", help=text
        )
    return parser


def _number(variable: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{variable} wants a number, not {text!r}") from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"DORMOUSE_LISTEN (--listen) wants host:port, not {text!r}")
    return host.strip("[]"), int(port)
