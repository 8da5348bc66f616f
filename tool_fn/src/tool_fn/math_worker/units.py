"""Conversion of units, by a table of what each is in SI units."""

import re
from collections.abc import Mapping
from typing import Any, Final

import sympy
from sympy import Expr, Rational, Symbol

from tool_fn.math_worker.reading import read
from tool_fn.tool import ToolError

_M, _KG, _S, _A, _K, _MOL, _BIT, _RAD = (
    Symbol(name, positive=True) for name in ("metre", "kilogram", "second", "ampere", "kelvin", "mole", "bit", "radian")
)
_G = _KG / 1000
_INCH = Rational(254, 10_000) * _M
_FOOT = 12 * _INCH
_POUND = Rational(45_359_237, 100_000_000) * _KG
_LITRE = _M**3 / 1000
_GALLON = Rational(3_785_411_784, 1_000_000_000) * _LITRE
_NEWTON = _KG * _M / _S**2
_JOULE = _NEWTON * _M
_WATT = _JOULE / _S
_PASCAL = _NEWTON / _M**2
_VOLT = _WATT / _A
_GRAVITY = Rational(980_665, 100_000) * _M / _S**2
_BYTE = 8 * _BIT

# Those that take SI's prefixes.
_PREFIXED: Final[Mapping[str, Expr]] = {
    "m": _M, "g": _G, "s": _S, "A": _A, "mol": _MOL, "L": _LITRE, "l": _LITRE, "N": _NEWTON, "J": _JOULE, "W": _WATT,
    "Pa": _PASCAL, "V": _VOLT, "Hz": 1 / _S, "ohm": _VOLT / _A, "C": _A * _S, "F": _A * _S / _VOLT, "Wh": 3600 * _JOULE,
    "eV": Rational(1_602_176_634, 10**28) * _JOULE, "cal": Rational(4184, 1000) * _JOULE, "bit": _BIT, "B": _BYTE,
    "bar": 100_000 * _PASCAL, "T": _KG / (_A * _S**2), "H": _KG * _M**2 / (_A * _S) ** 2,
}  # fmt: skip
_PREFIXES: Final = {
    "f": -15, "p": -12, "n": -9, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15,
}  # fmt: skip
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_PLAIN: Final[Mapping[str, Expr]] = {
    "metre meter metres meters": _M, "gram grams": _G, "second seconds sec": _S, "ampere amperes": _A,
    "kelvin K": _K, "litre liter litres liters": _LITRE, "newton newtons": _NEWTON, "joule joules": _JOULE,
    "watt watts": _WATT, "pascal pascals": _PASCAL, "volt volts": _VOLT, "hertz": 1 / _S, "byte bytes": _BYTE,
    "bits": _BIT, "kilometre kilometer kilometres kilometers": 1000 * _M,
    "centimetre centimeter centimetres centimeters": _M / 100,
    "millimetre millimeter millimetres millimeters": _M / 1000, "kilogram kilograms": _KG, "tonne tonnes t": 1000 * _KG,
    "minute minutes min": 60 * _S, "hour hours h hr": 3600 * _S,
    "day days d": 86_400 * _S, "week weeks": 604_800 * _S, "year years yr": Rational(36525, 100) * 86_400 * _S,
    "inch inches in": _INCH, "foot feet ft": _FOOT, "yard yards yd": 3 * _FOOT, "mile miles mi": 5280 * _FOOT,
    "nmi": 1852 * _M, "au": 149_597_870_700 * _M, "ly lightyear lightyears": 9_460_730_472_580_800 * _M,
    "ha hectare hectares": 10_000 * _M**2, "acre acres": 43_560 * _FOOT**2, "gal gallon gallons": _GALLON,
    "quart quarts": _GALLON / 4, "pint pints": _GALLON / 8, "cup cups": _GALLON / 16, "floz": _GALLON / 128,
    "tbsp": _GALLON / 256, "tsp": _GALLON / 768, "lb lbs pound pounds": _POUND, "oz ounce ounces": _POUND / 16,
    "st stone": 14 * _POUND, "ton tons": 2000 * _POUND, "mph": 5280 * _FOOT / (3600 * _S),
    "kmh kph": 1000 * _M / (3600 * _S), "kn knot knots": 1852 * _M / (3600 * _S), "lbf": _POUND * _GRAVITY,
    "psi": _POUND * _GRAVITY / _INCH**2, "atm": 101_325 * _PASCAL, "mmHg torr": Rational(101_325, 760) * _PASCAL,
    "hp": 550 * _FOOT * _POUND * _GRAVITY / _S, "BTU": Rational(105_505_585_262, 10**8) * _JOULE,
    "kcal": 4184 * _JOULE, "rpm": 2 * sympy.pi * _RAD / (60 * _S), "rad radian radians": _RAD,
    "deg degree degrees": sympy.pi / 180 * _RAD, "percent": Rational(1, 100), "c": 299_792_458 * _M / _S,
}  # fmt: skip
# Temperatures with a zero of their own: (factor, offset) to kelvin.
_TEMPERATURES: Final = {
    "degC": (Rational(1), Rational(27_315, 100)),
    "celsius": (Rational(1), Rational(27_315, 100)),
    "degF": (Rational(5, 9), Rational(45_967, 100) * Rational(5, 9)),
    "fahrenheit": (Rational(5, 9), Rational(45_967, 100) * Rational(5, 9)),
    "kelvin": (Rational(1), Rational(0)),
    "K": (Rational(1), Rational(0)),
}
_TEMPERATURE: Final = re.compile(rf"(?P<count>.*?)\s*(?<![^\W\d])(?P<unit>{'|'.join(_TEMPERATURES)})", re.DOTALL)


def _table() -> dict[str, Expr]:
    table: dict[str, Expr] = {}
    for unit, value in _PREFIXED.items():
        for prefix, power in _PREFIXES.items():
            table[prefix + unit] = Rational(10) ** power * value
    for unit in ("B", "bit"):
        for prefix, power in _BINARY.items():
            table[prefix + unit] = 2**power * _PREFIXED[unit]
    table |= _PREFIXED
    for names, value in _PLAIN.items():
        table |= dict.fromkeys(names.split(), value)
    return table


_UNITS: Final = _table()
_NAMES: Final = {name: Symbol(name) for name in (*_UNITS, *_TEMPERATURES)}


def convert(expression: str, to: str) -> Expr:
    """How many `to` the expression is: ("100 km/h", "mph"). Raises ToolError."""
    expression, to = _ascii(expression), _ascii(to)
    given, wanted = _TEMPERATURE.fullmatch(expression), _TEMPERATURE.fullmatch(to)
    if given is not None and wanted is not None:
        if wanted["count"]:
            raise ToolError("The unit to convert to stands alone, as in degF.")
        (factor, offset), (one, zero) = _TEMPERATURES[given["unit"]], _TEMPERATURES[wanted["unit"]]
        return (_number(given["count"] or "1") * factor + offset - zero) / one
    source, target = _read(expression), _read(to)
    quantity, unit = (_in_si(value, text) for value, text in ((source, expression), (target, to)))
    if unit == 0:
        raise ToolError(f"{to!r} is not a unit.")
    result = sympy.simplify(quantity / unit)
    left_over = result.free_symbols
    if left_over:
        raise ToolError(f"{expression!r} and {to!r} do not measure the same thing.")
    return result


def _ascii(text: str) -> str:
    for sign, name in (("°C", " degC"), ("°F", " degF"), ("℃", " degC"), ("℉", " degF")):
        text = text.replace(sign, name)
    return text.strip()


def _number(text: str) -> Expr:
    value = read(text)
    if not isinstance(value, Expr) or value.free_symbols:
        raise ToolError(f"{text!r} is not a number.")
    return value


def _read(text: str) -> Any:
    value = read(text, _NAMES)
    if not isinstance(value, Expr):
        raise ToolError(f"{text!r} is not a quantity with a unit.")
    return value


def _in_si(value: Expr, text: str) -> Expr:
    unknown = sorted(symbol.name for symbol in value.free_symbols if symbol.name not in _UNITS)
    if unknown and unknown[0] in _TEMPERATURES:
        raise ToolError("Convert °C and °F by themselves, to °C, °F or K.")
    if unknown:
        raise ToolError(f"There is no unit {unknown[0]!r} in {text!r}. Use symbols such as km, h, lb, kWh, mph, degC.")
    return value.subs({symbol: _UNITS[symbol.name] for symbol in value.free_symbols}, simultaneous=True)
