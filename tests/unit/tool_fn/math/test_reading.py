"""How expressions are read: what people write, and nothing that could run."""

import pytest
import sympy
from tool_fn.math_worker.reading import read
from tool_fn.tool import ToolError

WRITTEN = {
    "2x + 3(x+1)": "5*x + 3",
    "2*x^2": "2*x**2",
    "(x+1)(x-1)": "(x - 1)*(x + 1)",
    "2πr": "2*pi*r",
    "2 pi r": "2*pi*r",
    "√2": "sqrt(2)",
    "√(2x)": "sqrt(2)*sqrt(x)",
    "5!": "120",
    "(2+3)!": "120",
    "sin(x)!": "factorial(sin(x))",
    "-3!": "-6",
    "5!=120": "True",
    "15%": "3/20",
    "15% of 80": "12",
    "200 + 15%": "4003/20",
    "80/15%": "1600/3",
    "7 % 3": "1",
    "7 mod 3": "1",
    "mod(-7, 3)": "2",
    "0.1 + 0.2": "3/10",
    "1e5x": "100000*x",
    "2e": "2*E",
    "e^(i*pi)": "-1",
    "sin(90°)": "1",
    "sin x": "sin(x)",
    "x²·y³": "x**2*y**3",
    "10 − 3": "7",  # noqa: RUF001 - a minus sign, not a hyphen
    "x = 3": "Eq(x, 3)",
    "x ≤ 3": "x <= 3",
    "lambda + 1": "lambda + 1",
    "log(8, 2)": "3",
    "1/3": "1/3",
    "2**0.5": "sqrt(2)",
    "[[1,2],[3,4]]*[5,6]": "Matrix([\n[17],\n[39]])",
    "round(2.567, 2)": "257/100",
    "α + β": "α + β",  # noqa: RUF001 - Greek letters
}
REFUSED = [
    "__import__('os').system('id')", "().__class__", "x.__class__", "open('/etc/passwd')", "'a' * 10", '"a"', "f'{x}'",
    "lambda: 0", "[x for x in y]", "x if y else z", "x := 3", "{1: 2}", "x[0]", "*x", "print(1)", "eval(1)", "exec(1)",
    "getattr(x, y)", "globals()", "_x", "__name__", "x; y", "x\\y", "a@b", "`x`", "$x", "#x", "x?", "1 < 2 < 3",
    "f(2)", "x(2)", "2 3", "1,000.5 +", "(", ")", "((1)", "1 +", "", "  ", "!5", "sin", "sin + 1", "sin(1, 2)",
    "what is 2 + 2", "two plus two", "sqrt()", "x" * 31, "1/0", "5 % 0", "1" * 1001, "1e5000", "[[1,2],[3]]", "[]",
    "[1, [2]]", "1 + [1, 2]", "sin((1, 2))", "(1, 2) + 1", "(1 < 2) + 1", "round(x)", "isprime(1/2)", "\x00", "1\n2",
]  # fmt: skip
TOO_LARGE = [
    "9**9**9", "9^9^9", "2**99999", "10**10**10**10", "(1/3)**100000", "2**(10**9/3)", "1.0000001**(10**12)",
    "factorial(10**9)", "(10**9)!", "3!!!!", "gamma(10**6)", "binomial(10**6, 500000)", "fibonacci(10**7)",
    "prime(10**9)", "2**2**2**2**2**2", "pow(7, 10**8)", "root(2, 1/10**9)", "[[2, 0], [0, 2]]**100000",
    "primefactors(10**100 + 1)", "zeta(10**6)", "(((" * 20 + "1" + ")))" * 20, "-" * 300 + "1", "1+" * 400 + "1",
    "x" + "+x" * 1000, "[" * 50 + "1" + "]" * 50, "0.5**(10**400)",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN)
def test_reads_what_people_write(text: str) -> None:
    assert sympy.sstr(read(text)) == WRITTEN[text]


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_refuses_what_is_no_expression(text: str) -> None:
    with pytest.raises(ToolError):
        read(text)


@pytest.mark.parametrize("text", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_refuses_what_would_be_too_large_before_it_is_worked_out(text: str) -> None:
    with pytest.raises(ToolError):
        read(text)


def test_a_long_sum_is_not_deep() -> None:
    assert read(" + ".join(["1"] * 250)) == 250


def test_a_value_takes_a_names_place_even_that_of_a_constant() -> None:
    assert read("2e + x", {"e": sympy.Symbol("e"), "x": sympy.Integer(3)}) == 2 * sympy.Symbol("e") + 3


def test_a_refusal_says_what_is_wrong() -> None:
    for text, says in {
        "9**9**9": "about 3.7e+08 digits",
        "f(2)": "'f' is not a function",
        "2 + $x": "'$' has no meaning",
        "foo(1)": "'foo' is not a function",
        "sin(1, 2)": "sin takes 1 arguments, not 2",
    }.items():
        with pytest.raises(ToolError) as failed:
            read(text)
        assert says in str(failed.value)
