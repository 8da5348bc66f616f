"""Expressions from text: Python's parser, then a list of the nodes that are allowed. Nothing is evaluated as code."""

import ast
from collections.abc import Mapping
from typing import Any, Final

import sympy
from sympy import Integer, Matrix, MatrixBase, Rational, Symbol

from tool_fn.math_worker.functions import CONSTANTS, FUNCTIONS, matrix, power
from tool_fn.math_worker.tokens import ESCAPED, to_python
from tool_fn.tool import ToolError

_DEEPEST: Final = 100
_LONGEST_NAME: Final = 30
_NAMES: Final = frozenset(FUNCTIONS)
_RELATIONS: Final = {
    ast.Eq: sympy.Eq,
    ast.NotEq: sympy.Ne,
    ast.Lt: sympy.Lt,
    ast.LtE: sympy.Le,
    ast.Gt: sympy.Gt,
    ast.GtE: sympy.Ge,
}


def read(text: str, values: Mapping[str, Any] | None = None) -> Any:
    """A SymPy expression, matrix or relation, or a tuple of those. Raises ToolError.

    values: what names stand for, before constants and free symbols.
    """
    known = frozenset(values or ())
    source = to_python(text, _NAMES - known, known)
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ToolError(f"The expression {text[:200]!r} cannot be read: check operators and parentheses.") from error
    return _Reader(values or {}).build(tree.body, 0)


class _Reader:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def build(self, node: ast.expr, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ToolError("The expression is nested too deeply.")
        match node:
            case ast.Constant(value=bool() | str() | bytes()):
                raise ToolError("An expression holds numbers, names and operators only.")
            case ast.Constant(value=int() as value):
                return Integer(value)
            case ast.Constant(value=float() as value):
                return self._decimal(value)
            case ast.Name(id=name):
                return self._name(name.removeprefix(ESCAPED))
            case ast.UnaryOp(op=ast.USub()):
                return -self.build(node.operand, depth + 1)
            case ast.UnaryOp(op=ast.UAdd()):
                return self.build(node.operand, depth + 1)
            case ast.BinOp():
                return self._chain(node, depth)
            case ast.Call(func=ast.Name(id=name), keywords=[]):
                return self._call(name, [self.build(argument, depth + 1) for argument in node.args])
            case ast.Compare(ops=[operator], comparators=[right]) if type(operator) in _RELATIONS:
                return self._relation(operator, self.build(node.left, depth + 1), self.build(right, depth + 1))
            case ast.Tuple():
                return tuple(self.build(item, depth + 1) for item in node.elts)
            case ast.List():
                return self._list([self.build(item, depth + 1) for item in node.elts])
        raise ToolError("An expression holds numbers, names, operators, functions and matrices only.")

    def _chain(self, node: ast.BinOp, depth: int) -> Any:
        """Sums and products lean to the left, one level a term, which is no nesting to people."""
        parts = [node]
        while isinstance(parts[-1].left, ast.BinOp):
            parts.append(parts[-1].left)
        value = self.build(parts[-1].left, depth + 1)
        for part in reversed(parts):
            value = self._binary(part.op, value, self.build(part.right, depth + 1))
        return value

    def _decimal(self, value: float) -> Any:
        if value in (float("inf"), 0.0) and value:
            raise ToolError("A number in the expression is too large.")
        # As it was written: 0.1 is a tenth.
        return Rational(repr(value))

    def _name(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in FUNCTIONS:
            raise ToolError(f"{name} is a function: write {name}(…).")
        if len(name) > _LONGEST_NAME or name.startswith("_"):
            raise ToolError(f"{name[:40]!r} is not a name for a variable.")
        return Symbol(name)

    def _call(self, name: str, arguments: list[Any]) -> Any:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ToolError(f"There is no function {name!r}. There are: {', '.join(sorted(FUNCTIONS))}.")
        if not function.least <= len(arguments) <= function.most:
            wanted = f"{function.least}" if function.least == function.most else f"{function.least} to {function.most}"
            raise ToolError(f"{name} takes {wanted} arguments, not {len(arguments)}.")
        for argument in arguments:
            if isinstance(argument, tuple):
                raise ToolError(f"{name} takes numbers or expressions.")
        return function.make(*arguments)

    def _binary(self, operator: ast.operator, left: Any, right: Any) -> Any:
        if not all(isinstance(side, sympy.Expr | MatrixBase) for side in (left, right)):
            raise ToolError("Operators stand between numbers, expressions or matrices.")
        if isinstance(left, MatrixBase) or isinstance(right, MatrixBase):
            return self._of_matrices(operator, left, right)
        match operator:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Pow():
                return power(left, right)
            case ast.Div() | ast.FloorDiv() | ast.Mod() if right == 0:
                raise ToolError("Division by zero.")
            case ast.Div():
                return left / right
            case ast.FloorDiv():
                return sympy.floor(left / right)
            case ast.Mod():
                return sympy.Mod(left, right)
        raise ToolError("This operator has no meaning here.")

    def _of_matrices(self, operator: ast.operator, left: Any, right: Any) -> Any:
        try:
            match operator:
                case ast.Add():
                    return left + right
                case ast.Sub():
                    return left - right
                case ast.Mult():
                    return left * right
                case ast.Pow():
                    return power(left, right)
                case ast.Div() if not isinstance(right, MatrixBase) and right != 0:
                    return left / right
        except (sympy.ShapeError, sympy.matrices.exceptions.NonInvertibleMatrixError, TypeError) as error:
            raise ToolError("The sizes of these matrices do not fit, or one has no inverse.") from error
        raise ToolError("Matrices can be added, multiplied, and raised to an integer.")

    def _relation(self, operator: ast.cmpop, left: Any, right: Any) -> Any:
        if isinstance(left, tuple) or isinstance(right, tuple):
            raise ToolError("Write one equation at a time, with a semicolon between two.")
        try:
            return _RELATIONS[type(operator)](left, right)
        except TypeError as error:
            raise ToolError("Complex numbers and matrices have no order.") from error

    def _list(self, items: list[Any]) -> MatrixBase:
        """A list of rows, or one column."""
        if not items:
            raise ToolError("A matrix has at least one row.")
        if all(isinstance(item, MatrixBase) and item.cols == 1 for item in items):
            if len({item.rows for item in items}) > 1:
                raise ToolError("The rows of a matrix have the same length.")
            return matrix(Matrix([list(item) for item in items]))
        if any(not isinstance(item, sympy.Expr) for item in items):
            raise ToolError("A matrix holds numbers or expressions, written as [[1, 2], [3, 4]].")
        return matrix(Matrix(items))
