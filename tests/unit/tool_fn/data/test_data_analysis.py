"""What data_analysis finds out, from its confined worker."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tool_fn.tool import Call, ToolError
from tool_fn.tools.data_analysis import data_tool
from tool_fn.workers import Workers

Analyse = Callable[..., Awaitable[str]]
CSV = """city,price,year,ok
Berlin,10.5,2020,true
Paris,20,2021,false
Berlin,,2021,true
Rome,5.25,2019,
Paris,30,2022,true
"""
NESTED = [
    {"id": 1, "user": {"name": "Ada", "address": {"city": "London"}}, "tags": ["a", "b"], "spent": 10},
    {"id": 2, "user": {"name": "Bob", "address": {"city": None}}, "tags": [], "spent": 2.5},
    {"id": 3, "user": {"name": "Cem"}, "spent": None},
]


@pytest.fixture(scope="session")
async def analyse() -> AsyncIterator[Analyse]:
    workers = Workers()
    tool = data_tool(workers, limit_s=5)

    async def call(data: Any, *steps: dict[str, Any], **others: Any) -> str:
        raw = json.dumps({"data": data, "steps": list(steps), **others}).encode()
        text = await tool.invoke(raw, Call("tenant", "user", "", "", asyncio.get_running_loop().time() + 30))
        # The first line counts rows and columns.
        return text.split("\n\n", 1)[1]

    try:
        yield call
    finally:
        await workers.close()


def rows(table: str) -> list[list[str]]:
    """The cells of a Markdown table, its head first."""
    lines = [line for line in table.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


async def test_columns_are_described_without_steps(analyse: Analyse) -> None:
    assert rows(await analyse(CSV)) == [
        ["column", "type", "values", "missing", "unique", "min", "max", "mean", "median", "std", "most frequent"],
        ["city", "text", "5", "0", "3", "Berlin", "Rome", "", "", "", "Berlin (2 times)"],
        ["price", "number", "4", "1", "4", "5.25", "30", "16.4375", "15.25", "10.9094", ""],
        ["year", "integer", "5", "0", "4", "2019", "2022", "2020.6", "2021", "1.1402", ""],
        ["ok", "true/false", "4", "1", "2", "false", "true", "0.75", "1", "0.5", ""],
    ]


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"do": "count"}, "count: 5 rows"),
        ({"do": "count", "columns": ["price"]}, "count of price: 4 (4 values, 1 missing)"),
        ({"do": "sum", "columns": ["price"]}, "sum of price: 65.75 (4 values, 1 missing)"),
        ({"do": "mean", "columns": ["PRICE "]}, "mean of price: 16.4375 (4 values, 1 missing)"),
        ({"do": "median", "columns": ["price"]}, "median of price: 15.25 (4 values, 1 missing)"),
        ({"do": "min", "columns": ["city"]}, "min of city: Berlin (5 values, 0 missing)"),
        ({"do": "max", "columns": ["price"]}, "max of price: 30 (4 values, 1 missing)"),
        ({"do": "std", "columns": ["price"]}, "std of price: 10.9094 (4 values, 1 missing)"),
        ({"do": "unique", "columns": ["city"]}, "city: 3 different values\n| city | rows |\n|---|---|\n| Berlin | 2 |"),
        ({"do": "missing", "columns": ["price"]}, "missing of price: 1 (4 values, 1 missing)"),
        ({"do": "missing"}, "| price | 1 | 4 |"),
        ({"do": "mean"}, "| column | mean | values |\n|---|---|---|\n| price | 16.4375 | 4 |\n| year | 2020.6 | 5 |"),
        ({"do": "quantiles", "columns": ["price"], "quantiles": [0.1, 0.9]}, "| price | 6.825 | 27 |"),
    ],
)
async def test_figures(step: dict[str, Any], says: str, analyse: Analyse) -> None:
    assert says in await analyse(CSV, step)


async def test_groups_have_several_figures_and_can_be_sorted(analyse: Analyse) -> None:
    text = await analyse(
        CSV,
        {"do": "group_by", "columns": ["city"], "aggregate": {"price": ["mean", "sum", "count"], "year": ["max"]}},
        {"do": "sort", "columns": ["price_sum"], "descending": True},
    )
    assert rows(text) == [
        ["city", "rows", "price_mean", "price_sum", "price_count", "year_max"],
        ["Paris", "2", "25", "50", "2", "2022"],
        ["Berlin", "2", "10.5", "10.5", "1", "2021"],
        ["Rome", "1", "5.25", "5.25", "1", "2019"],
    ]


async def test_missing_values_are_a_group_of_their_own(analyse: Analyse) -> None:
    text = await analyse(CSV, {"do": "group_by", "columns": ["ok"]})
    assert rows(text) == [["ok", "rows"], ["false", "1"], ["true", "3"], ["", "1"]]


@pytest.mark.parametrize(
    ("compare", "column", "value", "years"),
    [
        ("==", "city", "Paris", "2021 2022"),
        ("!=", "city", "Paris", "2020 2021 2019"),
        (">=", "price", 20, "2021 2022"),
        ("<", "price", "20", "2020 2019"),
        ("contains", "city", "ER", "2020 2021"),
        ("in", "year", [2019, 2020], "2020 2019"),
        ("missing", "price", None, "2021"),
        ("present", "ok", None, "2020 2021 2021 2022"),
        ("==", "ok", True, "2020 2021 2022"),
        ("==", "ok", "false", "2021"),
    ],
)
async def test_filters(compare: str, column: str, value: Any, years: str, analyse: Analyse) -> None:
    step = {"do": "filter", "columns": [column], "compare": compare, "value": value}
    text = await analyse(CSV, step, {"do": "select", "columns": ["year"]})
    assert [row[0] for row in rows(text)[1:]] == years.split()


async def test_steps_are_carried_out_in_their_order(analyse: Analyse) -> None:
    text = await analyse(
        CSV,
        {"do": "count"},
        {"do": "filter", "columns": ["year"], "compare": ">", "value": 2020},
        {"do": "count"},
        {"do": "top", "columns": ["price"], "n": 1},
    )
    assert text.split("\n\n")[:2] == ["count: 5 rows", "count: 3 rows"]
    assert rows(text)[1:] == [["Paris", "30", "2022", "true"]]


async def test_a_filter_that_fits_nothing_leaves_no_rows(analyse: Analyse) -> None:
    assert await analyse(CSV, {"do": "filter", "columns": ["city"], "value": "Oslo"}) == "No rows are left."


async def test_nested_objects_become_dotted_columns(analyse: Analyse) -> None:
    described = {row[0]: row for row in rows(await analyse(NESTED))}
    assert list(described)[1:] == ["id", "user.name", "user.address.city", "tags", "spent"]
    assert described["user.address.city"][2:4] == ["1", "2"]
    assert described["tags"][5:7] == ['["a", "b"]', "[]"]
    assert "mean of spent: 6.25 (2 values, 1 missing)" in await analyse(NESTED, {"do": "mean", "columns": ["spent"]})


@pytest.mark.parametrize(
    ("data", "path", "total"),
    [
        ({"items": [{"x": 1}, {"x": 2}], "page": 1}, "", "3"),
        ({"result": {"items": [{"x": 1}, {"x": 2}]}}, "result.items", "3"),
        ({"orders": [{"items": [{"x": 1}]}, {"items": [{"x": 5}, {"x": 6}]}]}, "orders.items", "12"),
        ({"x": [1, 2, 3], "y": ["a", "b", "c"]}, "", "6"),
        ([1, 2, 3.5], "", "6.5"),
        ([["n", "x"], ["a", 1], ["b", 2]], "", "3"),
        ([[1, 2], [3, 4]], "", "4"),
        ('[{"x": 1}, {"x": null}]', "", "1"),
        ('{"x": 1}\n{"x": 4}\n', "", "5"),
        ("n;x\na;1,5\nb;2,5\n", "", "4"),
        ("n\tx\na\t1\nb\t2\n", "", "3"),
        ('n,x\n"a, b","1,000"\nc,"2,500.5"\n', "", "3500.5"),
        ("\ufeffx\n1\nNA\n2\n", "", "3"),
        ([{"x": 2**62}, {"x": 2**62}], "", "9223372036854775808"),
    ],
)
async def test_data_comes_in_many_forms(data: Any, path: str, total: str, analyse: Analyse) -> None:
    text = await analyse(data, {"do": "sum"}, path=path)
    # One numeric column is told in a sentence, several in a table.
    assert (text.split(": ")[1].split(" ")[0] if text.startswith("sum of") else rows(text)[1][1]) == total


async def test_codes_with_zeros_in_front_stay_texts(analyse: Analyse) -> None:
    text = await analyse("zip,n\n01234,1\n10115,2\n")
    assert rows(text)[1][:2] == ["zip", "text"]


async def test_long_tables_are_cut_and_say_so(analyse: Analyse) -> None:
    text = await analyse([{"x": number} for number in range(80)], {"do": "sort", "columns": ["x"]})
    assert len(rows(text)) == 51
    assert text.endswith("(30 more rows)")


async def test_cells_cannot_break_a_table(analyse: Analyse) -> None:
    text = await analyse([{"x": "a | b\nc" + "d" * 200}], {"do": "top"})
    assert text.count("\n") == 3
    assert "a \\| b c" in text


@pytest.mark.parametrize(
    ("data", "steps", "says"),
    [
        ("", [], "The data is empty."),
        ([], [], "The data has no records."),
        ("a,b\n1,2\n3\n", [], "Line 3 of the CSV has 1 fields, but its head has 2 (3)."),
        ("a,a\n1,2\n", [], "two columns named 'a'"),
        ("a,\n1,2\n", [], "Column 2 of the CSV has no name"),
        ("a,b\n", [], "no rows"),
        ('a,b\n"x,1\n', [], "Line 2 of the CSV cannot be read"),
        ("[1,", [], "not valid JSON"),
        ('{"a": 1}\n{"a": \n', [], "Line 2 of the data is not valid JSON"),
        ({"a": [{"x": 1}], "b": [{"x": 1}]}, [], "several lists of records: a, b. Say which one with path."),
        (CSV, [{"do": "mean", "columns": ["prise"]}], "(mean): There is no column 'prise'. Did you mean 'price'"),
        (CSV, [{"do": "count"}, {"do": "sum", "columns": ["city"]}], "Step 2 (sum): The column 'city' is not numeric"),
        ([{"v": 1}, {"v": "x"}], [{"do": "mean", "columns": ["v"]}], "row 2 holds 'x'"),
        (CSV, [{"do": "filter", "columns": ["price"], "compare": ">", "value": "x"}], "holds numbers; 'x' is none"),
        (CSV, [{"do": "filter", "columns": ["price"]}], "filter needs a value"),
        (CSV, [{"do": "filter", "value": 1}], "filter needs one column"),
        (CSV, [{"do": "group_by"}], "group_by needs columns"),
        (CSV, [{"do": "sort"}], "sort needs columns"),
        ([{"v": "x"}], [{"do": "quantiles"}], "No column is numeric"),
        (CSV, [{"do": "average"}], "steps[0].do: Invalid enum value 'average'"),
        (CSV, [{"do": "top", "n": 0}], "n"),
        (7, [], "data"),
        ({"a" * 3: {"b": 1}}, [{"do": "sum", "columns": ["b"]}], "There are: aaa.b."),
        (["x" for _ in range(200_001)], [], "more than 200000 rows"),
        ([{str(number): 1 for number in range(301)}], [], "more than 300 columns"),
    ],
)  # fmt: skip
async def test_errors_say_where_and_what(data: Any, steps: list[dict[str, Any]], says: str, analyse: Analyse) -> None:
    with pytest.raises(ToolError) as failed:
        await analyse(data, *steps)
    assert says in str(failed.value)


async def test_a_path_that_leads_nowhere_says_what_there_is(analyse: Analyse) -> None:
    with pytest.raises(ToolError, match=r"There is no 'a\.c' in the data\. There are: b"):
        await analyse({"a": {"b": [1]}}, path="a.c")


async def test_a_warm_call_is_fast(analyse: Analyse) -> None:
    await analyse(CSV)
    took = []
    for _ in range(20):
        start = time.perf_counter()
        await analyse(CSV, {"do": "group_by", "columns": ["city"], "aggregate": {"price": ["mean"]}})
        took.append(time.perf_counter() - start)
    assert sorted(took)[10] < 0.1  # 4 ms on an idle machine


async def test_large_data_is_worked_through(analyse: Analyse) -> None:
    data = "g,x\n" + "".join(f"{number % 7},{number}\n" for number in range(50_000))
    text = await analyse(data, {"do": "group_by", "columns": ["g"], "aggregate": {"x": ["sum"]}})
    assert sum(int(row[2]) for row in rows(text)[1:]) == sum(range(50_000))
