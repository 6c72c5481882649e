"""Numbers in whatever form they are written, as SQL: decimal comma, thousands, currency, per cent, and the negatives of accountants.

A style is the sign that stands before the decimals. Signs between thousands need no style of their own: a blank or an apostrophe means
nothing else, and of point and comma the one that is not the decimal sign is the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from churn_pipeline.core.sql import literal

PLAIN, POINT, COMMA = "plain", ".", ","
STYLES = (PLAIN, POINT, COMMA)
# DuckDB would also take 1_000.
PLAIN_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"

# By sign or word, as it may stand beside a number: the currency. What else is written so is no number.
CURRENCIES: Mapping[str, str] = MappingProxyType(
    {
        "US$": "USD",
        "A$": "AUD",
        "C$": "CAD",
        "R$": "BRL",
        "$": "USD",
        "€": "EUR",
        "£": "GBP",
        "¥": "JPY",
        "₹": "INR",
        "₩": "KRW",
        "zł": "PLN",
        "kr": "kr",
        "Kč": "CZK",
        "Fr.": "CHF",
    }
    | {
        code: code
        for code in [
            "USD",
            "EUR",
            "GBP",
            "CHF",
            "JPY",
            "CNY",
            "INR",
            "CAD",
            "AUD",
            "NZD",
            "SEK",
            "NOK",
            "DKK",
            "PLN",
            "CZK",
            "HUF",
            "RON",
            "BRL",
            "MXN",
            "ZAR",
            "SGD",
            "HKD",
            "ILS",
            "KRW",
            "TRY",
            "AED",
        ]
    }
)

_BLANKS = " \u00a0\u2009\u202f"
_MINUS = "\u2212-"  # with the hyphen last, where a class of a pattern takes it for itself


def _alternatives(words: Mapping[str, str]) -> str:
    escaped = (word.replace("$", r"\$").replace(".", r"\.") for word in sorted(words, key=len, reverse=True))
    return "|".join(escaped)


_CURRENCY = f"(?i:{_alternatives(CURRENCIES)})"


def _digits(decimal: str) -> str:
    """The pattern of the digits with what separates them."""
    groups = [rf"[1-9]\d{{0,2}}(?:[{sign}]\d{{3}})+" for sign in (*_BLANKS, "'’")]
    # 12,34,567 in India; nobody divides so by points.
    groups.append(r"[1-9]\d{0,2}(?:,\d{2,3})*,\d{3}" if decimal == POINT else r"[1-9]\d{0,2}(?:\.\d{3})+")
    # The longest first: where the digits are taken out, the first that matches is.
    whole = "|".join((*groups, r"\d+"))
    return rf"(?:(?:{whole})(?:\{decimal}\d*)?|\{decimal}\d+)(?:[eE][+-]?\d+)?"


def _pattern(decimal: str) -> str:
    """The pattern of a number with all that may stand around it."""
    blank, sign, money = f"[{_BLANKS}]*", f"[+{_MINUS}]?", f"(?:{_CURRENCY})?"
    before = f"{sign}{blank}{money}{blank}{sign}{blank}"
    after = f"{blank}[{_MINUS}]?{blank}{money}{blank}%?"
    return (
        f"{before}{_digits(decimal)}{after}|\\({blank}{money}{blank}{_digits(decimal)}{blank}{money}{blank}%?{blank}\\)"
    )


def value(style: str, text: str, per_cent: int = 0) -> str:
    """SQL of the number that ``text`` stands for, null where it is none in this style.

    Args:
        per_cent: what a sign for per cent divides by; 0: with such a sign it is no number.
    """
    if style == PLAIN:
        return f"case when regexp_full_match({text}, {literal(PLAIN_NUMBER)}) then try_cast({text} as DOUBLE) end"
    digits = f"regexp_extract({text}, {literal(_digits(style))})"
    bare = f"regexp_replace({digits}, {literal('[^0-9eE+' + style + '-]')}, '', 'g')"
    number = f"try_cast(replace({bare}, ',', '.') as DOUBLE)"
    # An exponent has a sign of its own, behind a digit and an e.
    negative = f"regexp_matches(regexp_replace({text}, '[eE][+-]?[0-9]+', ''), {literal(f'[({_MINUS}]')})"
    signed = f"case when {negative} then -1 else 1 end * {number}"
    fits = f"regexp_full_match({text}, {literal(_pattern(style))})"
    if not per_cent:
        return f"case when {fits} and not contains({text}, '%') then {signed} end"
    return f"case when {fits} then case when contains({text}, '%') then {signed} / {per_cent} else {signed} end end"


def currency(text: str) -> str:
    """SQL of the currency that is written beside a number, null where none is."""
    written = f"nullif(upper(regexp_extract({text}, {literal(_CURRENCY)})), '')"
    branches = " ".join(f"when {literal(word.upper())} then {literal(code)}" for word, code in CURRENCIES.items())
    return f"case {written} {branches} end"
