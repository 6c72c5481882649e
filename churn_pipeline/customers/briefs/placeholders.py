"""What stands for a name in a text that leaves this machine, and how the name is put in afterwards.

Writers see placeholders. Names are put in last, after the guardrails, in one pass: a name that looks like a placeholder stays the name.
"""

from __future__ import annotations

import re

from churn_pipeline.core.formatting import clean
from churn_pipeline.customers.briefs.model import Part
from churn_pipeline.customers.entities import Customer

COMPANY, CSM = "[COMPANY]", "[CSM]"
# What each stands for, as a writer is told.
MEANINGS = {COMPANY: "the customer's company", CSM: "the customer success manager who looks after it"}

# Anything in brackets or braces, and a bracket without its other half. A text has no other use for them.
_ANY = re.compile(r"\[[^\[\]]*\]|\{+[^{}]*\}+|<<[^<>]*>>|%\w+%|\$\{?[A-Za-z_]\w*\}?|[\[\]{}]|\b__\w+__\b")
_WORD = re.compile(r"\b(?:COMPANY(?:_NAME)?|CSM_OWNER|CUSTOMER_NAME|PLACEHOLDER)\b")
_LONGEST = 80


def broken(text: str) -> list[str]:
    """What in a text looks like a placeholder and is none of those that can be filled."""
    brackets = [match[0] for match in _ANY.finditer(text) if match[0] not in MEANINGS]
    without = _ANY.sub(" ", text)
    return [*brackets, *(match[0] for match in _WORD.finditer(without))]


def fill(text: str, customer: Customer, part: Part) -> str:
    """The text with names in it; where a name is not known, with words that are right without one.

    Args:
        text: in which `broken` finds nothing.
        customer: whose names.
        part: which the text is; an e-mail speaks to the customer.
    """
    is_email = part is Part.EMAIL
    names = {
        COMPANY: clean(customer.company_name, _LONGEST, "your company" if is_email else "this customer"),
        CSM: clean(customer.csm_owner, _LONGEST, "your success manager" if is_email else "the success manager"),
    }
    filled = _FILLED.sub(lambda match: names[match[0]], text)
    # Only words that stand in for a name can begin small, and only where a sentence begins.
    return _BEGINNING.sub(lambda match: match[0].upper(), filled, count=1) if text.startswith("[") else filled


_FILLED = re.compile("|".join(map(re.escape, MEANINGS)))
_BEGINNING = re.compile(r"^[a-z](?=[a-z]+ (?:company|customer|success manager))")
