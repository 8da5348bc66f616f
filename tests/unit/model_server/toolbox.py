"""Tools as an agent offers them to a model, for tests of how the model uses them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def tool(name: str, description: str, required: str = "", **properties: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required.split()}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 1, "maximum": 20}
OPERATIONS = [
    *("convert", "differentiate", "evaluate", "expand", "factor", "integrate", "limit", "product", "simplify", "solve"),
    "sum",
]

MATH = tool(
    "math",
    "Does exact mathematics: arithmetic, algebra, calculus, limits, equations.",
    "operation expression",
    operation={"enum": OPERATIONS},
    expression={**TEXT, "description": "For instance x**2 - 4 = 0"},
    variable={**TEXT, "description": "The unknown"},
    at={**TEXT, "description": "Point of limit and series"},
    lower=TEXT,
    upper=TEXT,
    order={"type": "integer", "minimum": 0, "description": "Of a derivative"},
    to={**TEXT, "description": "Unit to convert to"},
)
WEATHER = tool(
    "weather",
    "Tells the current weather of a place and the forecast for some days.",
    "place",
    place={**TEXT, "description": "A city"},
    days={**COUNT, "description": "Days of forecast"},
)
WIKIPEDIA = tool("wikipedia", "Looks up an article of the encyclopedia Wikipedia.", "query", query=TEXT, language=TEXT)
SEARCH = tool(
    "web_search", "Searches the web for pages about a topic.", "query", query=TEXT, max_results={**COUNT, "default": 5}
)
GET = tool("http_get", "Fetches a page or a document from a URL.", "url", url=TEXT)
POST = tool(
    "http_post",
    "Sends data to a URL with POST. A person approves it first.",
    "url",
    url=TEXT,
    json={"description": "The body"},
    body=TEXT,
)
DATA = tool(
    "data_analysis",
    "Computes statistics of a table in CSV or JSON: count, sum, mean, min, max, group by.",
    "data",
    data={"anyOf": [TEXT, {"type": "array"}, {"type": "object"}], "description": "CSV or JSON"},
    steps={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "do": {"enum": ["count", "describe", "group_by", "max", "mean", "quantiles", "sum"]},
                "columns": {"type": "array", "items": TEXT},
                "aggregate": {
                    "type": "object",
                    "additionalProperties": {"type": "array", "items": {"enum": ["count", "max", "mean"]}},
                },
                "value": {"description": "For filter: what to compare with"},
                "n": {**COUNT, "description": "For top: how many rows."},
                "quantiles": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
            },
            "required": ["do"],
        },
        "default": [],
    },
    path=TEXT,
)
PYTHON = tool("python", "Runs Python code in a sandbox and returns what it prints.", "code", code=TEXT)
SQL = tool("sql_query", "Runs a read-only SQL query on a database.", "sql", database={"enum": ["shop"]}, sql=TEXT)
DOCUMENTS = tool("rag_search", "Searches the documents that the user has uploaded.", "query", query=TEXT, limit=COUNT)
FIND_USER = tool("find_user", "Look up a user by e-mail.", "email", email=TEXT)
GET_ITEM = tool("get_item", "Look up an item by its id.", "item_id", item_id={"type": "integer"})
ITEMS_OF_USER = tool("list_user_items", "Lists the items of a user.", "user_id", user_id={"type": "integer"})
CREATE = tool(
    "create_artifact",
    "Creates a document that the user sees beside the chat.",
    "title media_type content",
    title=TEXT,
    media_type={"enum": ["text/markdown", "text/html", "text/csv", "application/json", "text/x-python"]},
    content=TEXT,
)
ARTIFACT = {**TEXT, "description": "the artifact's id"}
EDIT = tool(
    "edit_artifact",
    "Changes parts of an artifact. All edits of one call are made or none.",
    "id edits",
    id=ARTIFACT,
    edits={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "find": {**TEXT, "description": "a text that occurs once"},
                "replace": {**TEXT, "description": "what takes its place"},
                "all": {"type": "boolean", "description": "wherever it occurs"},
                "first_line": {"type": "integer", "description": "instead of find: the first line to replace"},
                "last_line": {"type": "integer", "description": "the last line"},
            },
            "required": ["replace"],
        },
    },
)
READ = tool("read_artifact", "Shows an artifact's lines with their numbers.", "id", id=ARTIFACT)
REWRITE = tool("rewrite_artifact", "Writes an artifact anew as a whole.", "id content", id=ARTIFACT, content=TEXT)
TOOLS = [DATA, FIND_USER, GET_ITEM, GET, POST, ITEMS_OF_USER, MATH, PYTHON, DOCUMENTS, SQL, WEATHER, SEARCH, WIKIPEDIA]
CANVAS = [CREATE, EDIT, READ, REWRITE]
