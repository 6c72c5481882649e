"""What a brief is made of and what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

WATERMARK = "AI-generated. Requires human review."


class Audience(StrEnum):
    """For whom a brief is: the account executive, who sells, or the customer success manager, who never gets an e-mail."""

    SALES = "ae"
    SUCCESS = "csm"


class BriefKind(StrEnum):
    """tactical: for the account executive; nurture: for the success manager; not_ready: why not yet, without a writer."""

    TACTICAL = "tactical"
    NURTURE = "nurture"
    NOT_READY = "not_ready"


class Part(StrEnum):
    """The parts of a brief, in their order. An e-mail is three sentences and only for the account executive, on request."""

    WHY_NOW = "why_now"
    LEAD_WITH = "lead_with"
    SETTLE_FIRST = "settle_first"
    NEXT_STEP = "next_step"
    EMAIL = "email"


class Result(StrEnum):
    """What the guardrails say: PASSED as it is; FLAGGED can be read, with care; REJECTED is not shown."""

    PASSED = "PASSED"
    FLAGGED = "FLAGGED"
    REJECTED = "REJECTED"


@dataclass(frozen=True)
class WriterRequest:
    """What a writer is handed. It holds placeholders where a name, an id or an owner stands, and nothing that could tell who it is.

    Attributes:
        kind: of brief.
        parts: to write, in this order.
        instructions: for a language model: its task, the rules, the form of the answer.
        facts: for it to use, a line each; all that it may say.
        template: the text of every part that the template writer gives, with the same placeholders.
        correlation_id: of this brief, for logs of both sides.
    """

    kind: BriefKind
    parts: tuple[Part, ...]
    instructions: str
    facts: str
    template: Mapping[Part, str]
    correlation_id: str


@dataclass(frozen=True)
class Draft:
    """What a writer gave: the text of every part that was asked for, with placeholders, and which model it was (None of a template)."""

    parts: Mapping[Part, str]
    provider: str
    model: str | None


class Writer(Protocol):
    """Puts facts into sentences."""

    @property
    def provider(self) -> str:
        """What it is called in a brief and in the audit: ``template``, or the host of the address."""
        ...

    def write(self, request: WriterRequest) -> Draft:
        """The text of every part of the request.

        Raises:
            WriterError: it gave none that can be used.
        """
        ...


@dataclass(frozen=True)
class Brief:
    """A brief as people get it.

    Attributes:
        parts: text by part, names filled in; those of a REJECTED brief are not there.
        watermark: `WATERMARK`; no setting removes it.
        result: what the guardrails say of all parts.
        fact_confidence: 1 less what unfounded words and figures cost, 0 to 1.
        flags: what the guardrails found or mended, in words, for whoever reads the brief.
        provider: who wrote it.
        model: which language model; None of a template.
        note: in words, where it was not written by whom it should have been, such as that the address did not answer; None otherwise.
        correlation_id: names this brief in the audit, and in `expansion_outreach_log` where somebody enters it there.
        written_at: UTC, without a zone.
    """

    snapshot_date: date
    customer_id: str
    company_name: str | None
    audience: Audience
    kind: BriefKind
    parts: Mapping[Part, str]
    result: Result
    fact_confidence: float
    flags: tuple[str, ...]
    provider: str
    model: str | None
    note: str | None
    correlation_id: str
    written_at: datetime
    watermark: str = WATERMARK
