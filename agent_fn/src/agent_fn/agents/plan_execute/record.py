"""What a run's state shows of its plan, under /plan: all that the agent has decided so far.

    {"rounds": [{"steps": [{"id", "task", "tool", "depends_on", "status", "result"}], "findings", "verification"}]}

`status` is pending, running, done, failed or skipped, `result` a short text. `findings` and `verification` are there
once they are made. The graph asks this record what comes next, so a new attempt goes on where the log ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent_fn.agents.plan_execute.plan import Step
from agent_fn.agents.run_state import RunState
from agent_fn.events import StateDelta

PENDING: Final = "pending"
RUNNING: Final = "running"
DONE: Final = "done"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"

MOST_ROUNDS: Final = 3
_SHOWN_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step and how it stands. `round` and `place` count from 0."""

    step: Step
    status: str
    result: str
    round: int
    place: int

    @property
    def key(self) -> str:
        """Its name within the run: "p1.s2"."""
        return f"p{self.round + 1}.{self.step.id}"

    @property
    def is_settled(self) -> bool:
        """Nothing more happens to it."""
        return self.status in (DONE, FAILED, SKIPPED)


class PlanRecord:
    """Reads and changes the plan in a run's state. What changes it returns the event that tells of it."""

    def __init__(self, state: RunState) -> None:
        self._state = state

    @property
    def rounds(self) -> int:
        """How many rounds have a plan."""
        return len(self._rounds)

    @property
    def steps(self) -> list[RecordedStep]:
        """The steps of the last round; none before the first."""
        return self.steps_of(self.rounds - 1) if self.rounds else []

    @property
    def findings(self) -> str | None:
        """What the last round has found; None before it has been thought about."""
        return self._rounds[-1].get("findings") if self._rounds else None

    @property
    def all_findings(self) -> list[str]:
        """The findings of all rounds so far."""
        return [found["findings"] for found in self._rounds if found.get("findings")]

    @property
    def verification(self) -> Mapping[str, Any] | None:
        """The last round's {"complete", "missing", "reason"}."""
        return self._rounds[-1].get("verification") if self._rounds else None

    @property
    def model_turns(self) -> int:
        """How many turns of the model all this has taken, more or less: a plan, each step's, findings, verdict."""
        turns = 0
        for number, written in enumerate(self._rounds):
            turns += 1 + ("findings" in written) + ("verification" in written)
            turns += sum(recorded.status in (RUNNING, DONE, FAILED) for recorded in self.steps_of(number))
        return turns

    def steps_of(self, number: int) -> list[RecordedStep]:
        """The steps of a round, counted from 0."""
        return [
            RecordedStep(
                Step(written["id"], written["task"], written["tool"], tuple(written["depends_on"])),
                written["status"],
                written["result"],
                number,
                place,
            )
            for place, written in enumerate(self._rounds[number]["steps"])
        ]

    def begin_round(self, steps: Sequence[Step]) -> StateDelta:
        """Another round with this plan."""
        written = {
            "steps": [
                {
                    "id": step.id,
                    "task": step.task,
                    "tool": step.tool,
                    "depends_on": list(step.depends_on),
                    "status": PENDING,
                    "result": "",
                }
                for step in steps
            ]
        }
        if not self._rounds:
            return self._state.set("/plan", {"rounds": [written]})
        return self._state.append("/plan/rounds", written)

    def mark(self, changes: Mapping[RecordedStep, tuple[str, str]]) -> StateDelta:
        """Sets the status and the result of steps; tells only what is new of them."""
        values = {
            f"{self._path(recorded)}/{name}": value
            for recorded, (status, result) in changes.items()
            for name, value in (("status", status), ("result", result))
        }
        return self._state.set_all({path: value for path, value in values.items() if self._state.get(path) != value})

    def conclude(self, findings: str) -> StateDelta:
        """What the last round has found."""
        return self._state.set(f"/plan/rounds/{self.rounds - 1}/findings", findings)

    def verify(self, *, complete: bool, missing: Sequence[str], reason: str) -> StateDelta:
        """The verdict on the last round."""
        verdict = {"complete": complete, "missing": list(missing), "reason": reason}
        return self._state.set(f"/plan/rounds/{self.rounds - 1}/verification", verdict)

    @property
    def _rounds(self) -> list[dict[str, Any]]:
        rounds: list[dict[str, Any]] = self._state.get("/plan/rounds", [])
        return rounds

    def _path(self, recorded: RecordedStep) -> str:
        return f"/plan/rounds/{recorded.round}/steps/{recorded.place}"


def short(text: str) -> str:
    """A result as the state shows it: one line of 200 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"
