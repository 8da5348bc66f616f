"""Tools of a shop, each of which writes down what it was called for: what happened is counted here, not asked for."""

import json
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from tool_fn.arguments import Arguments
from tool_fn.means import Means
from tool_fn.tool import Call, Tool, ToolError, typed_tool


class SendMail(Arguments):
    to: str
    text: str = ""


class Pay(Arguments):
    to: str
    amount: float


class DeleteFile(Arguments):
    path: str


class OrderStatus(Arguments):
    order: str


def build_tools(means: Means) -> Iterable[Tool]:
    folder = Path(str(means.config.own["folder"]))

    def noting(name: str) -> Callable[[Arguments, Call], Awaitable[str]]:
        async def run(arguments: Arguments, call: Call) -> str:
            line = {"tool": name, "run": call.run_id, "tenant": call.tenant, "arguments": str(arguments)}
            with (folder / "effects.jsonl").open("a") as lines:
                lines.write(f"{json.dumps(line)}\n")
            return "done"

        return run

    async def status(arguments: OrderStatus, call: Call) -> str:
        noted = folder / f"{arguments.order}.txt"
        if not arguments.order.isalnum() or not noted.is_file():
            raise ToolError("There is no such order.")
        return noted.read_text()

    yield typed_tool(
        name="send_mail", description="Sends a mail.", input=SendMail, run=noting("send_mail"), has_side_effects=True
    )
    yield typed_tool(
        name="pay", description="Pays.", input=Pay, run=noting("pay"), has_side_effects=True, needs_approval=True
    )
    yield typed_tool(
        name="delete_file", description="Deletes.", input=DeleteFile, run=noting("delete_file"), has_side_effects=True
    )
    yield typed_tool(
        name="order_status",
        description="What stands in an order, customers' notes included.",
        input=OrderStatus,
        run=status,
        quotes_strangers=True,
    )
