"""Messages as Block Kit, from facts alone: the same facts give the same JSON.

Whatever others typed goes into ``rich_text`` elements, which Slack shows letter by letter: ``<!channel>`` pings nobody, ``*`` and
backticks format nothing, ``:name:`` is no picture. There is no ``mrkdwn`` object in any block. What remains is the fallback
text, shown in notifications; it is escaped, and sent with markup switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import quote

from churn_pipeline.core.formatting import clean, counted, in_points, mrkdwn, signed, signed_usd, usd, whole_sentences
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.model_kinds import label_of
from churn_pipeline.core.notices import first_line, lines
from churn_pipeline.delivery.call_list import main_reason
from churn_pipeline.delivery.digest import (
    Alert,
    AlertKind,
    BriefsReady,
    CustomerLine,
    Digest,
    ExpansionLine,
    Link,
    ModelHealth,
    MoverLine,
    OwnerList,
    TierCount,
)
from churn_pipeline.policy import tiers
from churn_pipeline.policy.tiers import Tiers

Block = dict[str, Any]

# Slack's own limits, https://docs.slack.dev/reference/block-kit/blocks.
MAX_BLOCKS = 50
MAX_HEADER = 150
MAX_TEXT = 3_000
# All blocks together: not documented, and refused as msg_blocks_too_long from about 13,200 characters on
# (slackapi/bolt-js #2509); rich text was refused with 11,300 characters of plain text, so it is the JSON that is kept
# below it (#2867).
MAX_MESSAGE = 13_000

MAX_FALLBACK = 500
# Longer names are typing accidents or attacks; the identifier beside them stays whole.
_NAME = 60
_TIER = 12
_REASON = 120
# What to do: most instructions of the playbook are shorter, and the first sentence of a longer one says it.
_ACTION = 150
# An address that is longer is of an id that nobody has.
_ADDRESS = 300
# Characters of JSON that the parts of variable length may take; ten calls take about 6,500. Where all parts are as long as they can
# be, calls give way.
_CALLS, _MOVERS, _TOP, _EXPANSION, _LINKS = 7_000, 1_700, 1_100, 1_200, 900
_OWNER = 10_500
# What the line takes that counts the calls left out.
_MORE = 120
# Lines about the data and the models, and the characters of each: enough to know that something is wrong, and where to read on.
NOTICES_SHOWN = 4
_NOTICE = 200
# The line above the list is never cut: the notice is no longer than that.
_RANKED_BY = 300
_DETAILS = 4_000
# A thread of one message per manager: beyond this many it would bury the channel.
MAX_OWNERS = 20

_TITLES: dict[AlertKind, str] = {
    "run_failed": "Run failed: {subject}, Monday {day}",
    "data_refused": "Data refused: {subject}, Monday {day}",
    "model_refused": "New model refused: {subject}, Monday {day}",
    "drift": "Drift: {subject}, Monday {day}",
    "deadline": "Late: no {subject} for Monday {day}",
}
_TO_DO: dict[AlertKind, str] = {
    "run_failed": "What was published before stays as it was. Mend the cause, then: churn run --week {day}",
    "data_refused": "What was published before stays as it was. Mend the source, then: churn run --week {day}",
    "model_refused": "The former model goes on scoring. The verdict and its figures: churn models",
    "drift": "See first whether the source changed or the customers did; then, if needed: churn train --week {day}",
    "deadline": "Nobody has a call list for this week yet. Is a run still going? If not: churn run --week {day}",
}
_SIGNS: dict[AlertKind, str] = {
    "run_failed": "red_circle",
    "data_refused": "red_circle",
    "model_refused": "large_yellow_circle",
    "drift": "large_yellow_circle",
    "deadline": "red_circle",
}


@dataclass(frozen=True)
class Message:
    """What Slack is sent.

    Attributes:
        text: fallback for notifications and screen readers, escaped.
        blocks: Block Kit.
    """

    text: str
    blocks: tuple[Block, ...]

    def builder_json(self) -> str:
        """JSON that can be pasted into Slack's Block Kit Builder."""
        return json_text({"blocks": self.blocks}, ascii_only=False)


# An owner, and the member of the workspace who is mentioned instead.
type Mentions = Mapping[str, str]


def digest_message(digest: Digest, threaded: bool, mentions: Mentions | None = None) -> Message:
    """Monday's message: money first, then whom to call.

    Args:
        digest: a published Monday.
        threaded: whether the lists per owner follow in the thread; if not, the message says where to find them.
        mentions: owners who are mentioned; the others are named.
    """
    mentions = mentions or {}
    if digest.has_money:
        title = f"Monday {digest.snapshot_date}: {usd(digest.revenue_at_risk)} a year at risk"
        change = _total_change(digest.tiers)
        title += f" ({signed_usd(change)})" if change is not None else ""
    else:
        title = f"Monday {digest.snapshot_date}: {counted(digest.on_call_list, 'customer')} to call"
    calls = [_call(row, digest, mentions) for row in digest.calls]
    blocks = _digest_blocks(digest, threaded, title, calls, _CALLS)
    room = sum(map(_size, calls))
    while (excess := len(json_text(blocks, ascii_only=False)) - MAX_MESSAGE) > 0 and room > 0:
        # Where much was found out about the data, the last calls are counted; the lists of the owners have them.
        room = min(room, _CALLS) - excess - _MORE
        blocks = _digest_blocks(digest, threaded, title, calls, room)
    urgent = sum(tier.customers for tier in digest.urgent)
    return _message(f"{title}; {counted(urgent, 'customer')} {_urgent_words(digest)}", blocks)


def _digest_blocks(digest: Digest, threaded: bool, title: str, calls: Sequence[Block], room: int) -> list[Block]:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": title[:MAX_HEADER], "emoji": False}},
        *_ranked_by(digest),
        _rich(_line(_headline(digest)), _table(digest)),
        *_calls(digest, calls, room),
        *_movers(digest),
        *_top_tier(digest),
        *_expansion(digest),
        _context(_health(digest.health, digest.snapshot_date)),
    ]
    blocks += [_context(note) for note in _caveats(digest)]
    return [*blocks, _rich(_links(digest, threaded))]


def owner_messages(digest: Digest, mentions: Mentions | None = None) -> tuple[tuple[str, Message], ...]:
    """The lists for the thread, one message an owner, the most money first; with the name that tells them apart."""
    return tuple((row.owner or "", _owner(row, digest, mentions or {})) for row in digest.owners[:MAX_OWNERS])


def briefs_message(ready: BriefsReady) -> Message:
    """Where the briefs of a Monday are, for the thread of its digest."""
    first = "the first candidate" if ready.asked_for == 1 else f"the first {ready.asked_for:,} candidates"
    some = f"{ready.candidates:,} of " if ready.candidates < ready.asked_for else ""
    title = f"Expansion briefs for {some}{first}, Monday {ready.snapshot_date}"
    results = f"{counted(ready.briefs, 'brief')}, {ready.flagged:,} of them to read with care"
    results += f" and {ready.rejected:,} rejected and not shown" if ready.rejected else ""
    where = _link_elements([Link("Open them", ready.page)] if ready.page else []) or (
        _text("In "),
        _code(clean(ready.file, _ADDRESS)),
    )
    elements = [_bold(title), _text(f": {results}. "), *where]
    return _message(f"{title}: {results}", [_rich(_section(*elements)), _context(ready.watermark)])


def alert_message(alert: Alert) -> Message:
    """What broke, for which Monday, in whose words, and what to do about it."""
    title = alert_title(alert)
    what = clean(alert.what, 600, "no reason was given")
    elements = [
        _section({"type": "emoji", "name": _SIGNS[alert.kind]}, _text(f" {title}", bold=True)),
        {"type": "rich_text_preformatted", "elements": [_text(what)]},
    ]
    # Twelve features are what anybody reads on a phone; the link leads to the rest.
    details = [_section(_text(clean(detail, 200))) for detail in alert.details[:12]]
    if details:
        elements.append(_listed(_fitting(details, _DETAILS), ordered=False))
    elements.append(_section(_text(_TO_DO[alert.kind].format(day=alert.snapshot_date))))
    if links := _link_elements(alert.links):
        elements.append(_section(*links))
    at = f"{alert.at:%Y-%m-%d %H:%M %Z}".strip()
    run = f" · run {clean(alert.run_id, 60)}" if alert.run_id else ""
    return _message(f"{title}: {what}", [_rich(*elements), _context(f"{at}{run}")])


def recovery_message(title: str, raised_at: datetime, cleared_at: datetime) -> Message:
    """The note that an alert is over. It repeats the title, because without a thread it stands alone."""
    text = f"Recovered after {_duration(cleared_at - raised_at)}: {clean(title, 200)}"
    block = _rich(_section({"type": "emoji", "name": "white_check_mark"}, _text(f" {text}")))
    return _message(text, [block])


def alert_title(alert: Alert) -> str:
    """One line that names an alert."""
    return _TITLES[alert.kind].format(subject=clean(alert.subject, 100), day=alert.snapshot_date)


def sample_digest(monday: date, policy: Tiers) -> Digest:
    """A made-up Monday that shows what the digest looks like, for ``churn slack test``.

    Args:
        monday: which.
        policy: the risk tiers, the gravest first.
    """
    owner = "Sample Manager"
    names = [tier.risk_tier for tier in policy]
    top, second, third = (names[min(rank, len(names) - 1)] for rank in range(3))
    calls = (
        CustomerLine(
            *(1, "Renewal ahead", "SAMPLE-1", "Example & Sons", "growth", 9_900, 96_228, 0.81, 0.14, top, second),
            ("The contract ends in 30 days", "Uses little of the product: adoption 31 %, similar companies 63 %"),
            "Call today: ask what would make them sign again, and agree the way there.",
            owner,
        ),
        CustomerLine(
            *(
                2,
                "Likely to leave",
                "SAMPLE-2",
                "Sample <Industries>",
                "growth",
                7_700,
                53_592,
                0.58,
                0.02,
                second,
                second,
            ),
            ("11 tickets in 90 days, 2 critical, one open since 17 days",),
            "Call this week about their open tickets, the oldest 17 days old: say who solves each and when, and call again when it is done.",
            owner,
        ),
        CustomerLine(
            *(3, "Large account", "SAMPLE-3", "Placeholder GmbH", "starter", 5_600, 20_832, 0.31, -0.05, third, third),
            ("43 events a week in September, 18 now",),
            "Call this week: ask what their work looks like now, and who could use the product next.",
            owner,
        ),
    )
    grower = ExpansionLine(
        *("SAMPLE-4", "Specimen Ltd", "growth", "enterprise", 0.62, 38_000, owner),
        ("Plan limits reached in the last 30 days: 9",),
    )
    # Customers, money at risk, and the change of both: the gravest tiers first, and most customers in the last.
    graver = ((1, 96_228, 1, 96_228), (1, 53_592, -1, -41_500), (1, 20_832, 0, -2_100))
    tier_figures = [*(graver[min(place, 2)] for place in range(len(names) - 1)), (40, 60_300, 2, 3_400)]
    return Digest(
        snapshot_date=monday,
        compared_with=monday - timedelta(days=7),
        tiers=tuple(TierCount(name, *figures) for name, figures in zip(names, tier_figures, strict=True)),
        top_tier=top,
        former_top_tier=top,
        urgent_tiers=tuple(tiers.urgent(policy)),
        calls=calls,
        into_top=calls[:1],
        into_top_count=1,
        left_top=0,
        gone_top=0,
        expansion=(grower,),
        expansion_candidates=1,
        expansion_ready=1,
        expansion_uplift=38_000,
        health=(),
        model_changed=False,
        policy_changed=False,
        owners=(),
        notes=("This is a sample with made-up customers, sent by 'churn slack test'.",),
        on_call_list=len(calls),
        written_to=2,
        movers=(MoverLine("SAMPLE-1", "Example & Sons", 16_400, 96_228, "Usage", 12_100),),
    )


# What a digest is made of


def _headline(digest: Digest) -> list[Block]:
    count = sum(tier.customers for tier in digest.urgent)
    money = sum(tier.revenue_at_risk for tier in digest.urgent)
    if not count:
        return [_text(f"Nobody is {_urgent_words(digest)} this week.", bold=True)]
    be = "is" if count == 1 else "are"
    return [
        _text(f"{counted(count, 'customer')} {be} {_urgent_words(digest)}", bold=True),
        _text(f" and account for {usd(money)} of it." if digest.has_money else ". What customers pay is not on file."),
    ]


def _ranked_by(digest: Digest) -> list[Block]:
    line, _ = first_line(digest.notices)
    return [_rich(_section(_text(clean(line, _RANKED_BY), bold=True)))] if line else []


def _urgent_words(digest: Digest) -> str:
    return tiers.in_words([clean(tier, _TIER) for tier in digest.urgent_tiers])


def _table(digest: Digest) -> Block:
    """Tiers as a table of fixed width; Slack has no narrower way to line figures up that webhooks can send, too."""
    total = TierCount(
        "all",
        digest.customers,
        digest.revenue_at_risk,
        sum(tier.customers_change or 0 for tier in digest.tiers),
        _total_change(digest.tiers),
    )
    compared = digest.compared_with is not None
    change = ["change"] if compared else []
    rows = [["tier", "customers", *change, *(["at risk", *change] if digest.has_money else [])]]
    for tier in (*digest.tiers, total):
        row = [clean(tier.risk_tier, _TIER), f"{tier.customers:,}"]
        row += [signed(tier.customers_change or 0)] if compared else []
        row += [usd(tier.revenue_at_risk)] if digest.has_money else []
        row += [signed_usd(tier.revenue_change or 0)] if compared and digest.has_money else []
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return {"type": "rich_text_preformatted", "elements": [_text("\n".join(lines))]}


def _calls(digest: Digest, items: Sequence[Block], room: int) -> list[Block]:
    """Whom to call, the first of them with why and what to do; and how many are written to instead, with where they stand."""
    after = f", {digest.on_call_list:,} on this week's list" if digest.on_call_list else ""
    blocks = _list_block(_bold("Call first"), items, max(digest.on_call_list, len(items)), room, True, after)
    if digest.written_to:
        be = "is" if digest.written_to == 1 else "are"
        line = f"{counted(digest.written_to, 'more customer')} {be} {_urgent_words(digest)} and not on the list: write to them. "
        blocks.append(_rich(_section(_text(line), _code(f"churn show --week {digest.snapshot_date} --written"))))
    return blocks


def _call(row: CustomerLine, digest: Digest, mentions: Mentions, *, in_thread: bool = False) -> Block:
    """Who, how much, how likely, why they are called and whose they are; then the main reason, and what to do.

    In the thread the list of an owner has the numbers of the whole list, and does not name the owner again.
    """
    number = [f"call {row.call_rank:,}"] if in_thread and row.call_rank is not None else []
    parts = [*number, *([_at_risk(row)] if digest.has_money else []), _probability(row, digest.compared_with)]
    if row.call_reason:
        parts.append(clean(row.call_reason, 40))
    owner: tuple[Block, ...] = ()
    if row.csm_owner and not in_thread:
        owner = (_text(" · "), _owner_element(row.csm_owner, mentions))
    why = clean(main_reason(row.reasons, row.recommended_action), _REASON, "Nothing in the data raises the risk")
    what = whole_sentences(row.recommended_action, _ACTION)
    return _section(
        *_who(row.customer_id, row.company_name, digest.report),
        _text(f" · {' · '.join(parts)}"),
        *owner,
        _text(f"\n{why}" + (f"\n{what}" if what else "")),
    )


def _at_risk(row: CustomerLine) -> str:
    return f"{usd(row.revenue_at_risk)} at risk" if row.revenue_at_risk is not None else "revenue unknown"


def _owner_element(owner: str, mentions: Mentions) -> Block:
    """The owner as a mention, which tells them of the message, or as a name."""
    if owner in mentions:
        return {"type": "user", "user_id": mentions[owner]}
    return _text(clean(owner, 40))


def _movers(digest: Digest) -> list[Block]:
    if not digest.movers:
        return []
    items = [
        _section(
            *_who(row.customer_id, row.company_name, digest.report),
            _text(
                f" · {'up' if row.change > 0 else 'down'} {usd(abs(row.change))} to {usd(row.revenue_at_risk)} at risk, largest part: "
                f"{clean(row.part, 40)} ({signed_usd(row.part_change)})"
            ),
        )
        for row in digest.movers
    ]
    return _list_block(_bold("Biggest movers of the week"), items, len(items), _MOVERS, False)


def _probability(row: CustomerLine, compared_with: date | None) -> str:
    """``77% TIER (+6 points, was OTHER TIER)``."""
    shown = f"{row.risk_probability:.0%} {clean(row.risk_tier, _TIER)}"
    if compared_with is None:
        return shown
    if row.probability_change is None:
        return f"{shown} (new this week)"
    moved = row.previous_risk_tier is not None and row.previous_risk_tier != row.risk_tier
    was = f", was {clean(row.previous_risk_tier, _TIER)}" if moved else ""
    return f"{shown} ({in_points(row.probability_change)}{was})"


def _top_tier(digest: Digest) -> list[Block]:
    if digest.compared_with is None:
        return []
    top, former_top = clean(digest.top_tier, _TIER), clean(digest.former_top_tier, _TIER)
    departures = []
    if digest.left_top:
        departures.append(f"{counted(digest.left_top, 'customer')} left {former_top} for a lower tier")
    if digest.gone_top:
        departures.append(f"{counted(digest.gone_top, 'customer')} from {former_top} no longer active")
    if not digest.into_top_count:
        text = f"Nobody moved into {top}" + (f"; {', '.join(departures)}." if departures else ".")
        return [_rich(_section(_text(text)))]
    items = [
        _section(
            *_who(row.customer_id, row.company_name, digest.report),
            _text(
                "".join(
                    f" · {part}"
                    for part in (
                        *([_at_risk(row)] if digest.has_money else []),
                        _probability(row, digest.compared_with),
                    )
                )
            ),
        )
        for row in digest.into_top
    ]
    title = f"Moved into {top}: {digest.into_top_count:,}"
    return _list_block(
        _bold(title), items, digest.into_top_count, _TOP, False, f" ({', '.join(departures)})" if departures else ""
    )


def _expansion(digest: Digest) -> list[Block]:
    if not digest.expansion_candidates:
        return []
    items = [
        _section(
            *_who(row.customer_id, row.company_name, digest.report),
            _text(
                f"{f' · +{usd(row.expected_arr_uplift)}' if digest.has_money else ''} · {clean(row.plan_tier, 20)} → {clean(row.target_tier, 20)} at "
                f"{row.propensity:.0%}" + "".join(f" · {clean(reason, _REASON)}" for reason in row.reasons[:1])
            ),
        )
        for row in digest.expansion
    ]
    after = f", worth {usd(digest.expansion_uplift)} a year" if digest.has_money else ""
    after += f"; {digest.expansion_ready:,} ready now"
    title = f"Expansion: {counted(digest.expansion_candidates, 'candidate')}"
    return _list_block(_bold(title), items, digest.expansion_candidates, _EXPANSION, False, after)


def _health(models: Sequence[ModelHealth], monday: date) -> str:
    if not models:
        return "Model health: no figures are published for the models of this week."
    first, *others = models
    figures = []
    if first.precision_top_200 is not None:
        figures.append(f"{first.precision_top_200:.0%} of the 200 customers it ranked first did leave")
    if first.auc is not None:
        figures.append(f"AUC {first.auc:.2f}")
    if first.ece is not None:
        figures.append(f"calibrated within {100 * first.ece:.1f} points")
    weeks = max((monday - model.labels_closed_by).days // 7 for model in models)
    sentence = f"Model health: {_version(first)}, trained {counted(weeks, 'week')} ago"
    sentence += f", on weeks it had not seen: {', '.join(figures)}" if figures else "; there are no figures of it"
    shown = others[:3]
    aucs = [f"{_version(model)} {model.auc:.2f}" for model in shown if model.auc is not None]
    sentence += f" (AUC of {', '.join(aucs)})." if aucs else "."
    without = [_version(model) for model in shown if model.auc is None]
    return sentence + (f" No figures of {', '.join(without)}." if without else "")


def _version(model: ModelHealth) -> str:
    named = f"{clean(model.target, 30)} v{clean(model.version, 10)}"
    return f"{named} ({clean(label_of(model.kind), 30)})" if model.kind else named


def _caveats(digest: Digest) -> tuple[str, ...]:
    caveats = []
    if digest.compared_with is None:
        caveats.append("No earlier Monday is published, so nothing is compared with last week.")
    if digest.model_changed:
        caveats.append(
            "The model changed since last week: part of the changes above comes from it, not from the customers."
        )
    if digest.policy_changed:
        caveats.append("The policy (cut-offs, weights or texts) changed since last week: tiers moved with it.")
    notices = lines(first_line(digest.notices)[1], NOTICES_SHOWN, digest.snapshot_date)
    return (*(clean(line, _NOTICE) for line in notices), *caveats, *(clean(note, 160) for note in digest.notes[:3]))


def _links(digest: Digest, threaded: bool) -> Block:
    report = (Link("report", digest.report),) if digest.report else ()
    elements = list(_link_elements((*report, *digest.links)))
    elements += [_text("  ·  ")] if elements else []
    whole = f"churn show --week {digest.snapshot_date} --top {max(digest.on_call_list, 1)}"
    if not digest.owners:
        return _section(*elements, _text("Whole list: "), _code(whole))
    lists = "Lists per owner are in the thread; the whole list: " if threaded else "Lists per owner: "
    command = whole if threaded else f"churn show --week {digest.snapshot_date} --owner NAME"
    hidden = len(digest.owners) - MAX_OWNERS
    more = [_text(f" ({counted(hidden, 'owner')} more than fit into the thread)")] if threaded and hidden > 0 else []
    return _section(*elements, _text(lists), _code(command), *more)


def _owner(row: OwnerList, digest: Digest, mentions: Mentions) -> Message:
    name = clean(row.owner, _NAME) if row.owner else "Customers without an owner"
    summary = f"{row.called:,} to call this week; {counted(row.customers, 'customer')} in all, {row.urgent:,} of them {_urgent_words(digest)}"
    summary += f", {usd(row.revenue_at_risk)} a year at risk" if digest.has_money else ""
    items = [_call(line, digest, mentions, in_thread=True) for line in row.calls]
    # The name is in quotes on the command line, and a quote in it would end them.
    owner = f' --owner "{name}"' if row.owner and '"' not in name else ""
    command = f"churn show --week {digest.snapshot_date}{owner} --top {max(row.called, 1)}"
    mentioned = mentions.get(row.owner) if row.owner is not None else None
    title = {"type": "user", "user_id": mentioned} if mentioned else _bold(name)
    blocks = [
        *_list_block(title, items, max(row.called, len(items)), _OWNER, False, f": {summary}"),
        _rich(_section(_text("All of them: "), _code(command))),
    ]
    return _message(f"{name}: {summary}", blocks)


# Block Kit


def _message(text: str, blocks: Sequence[Block]) -> Message:
    return Message(mrkdwn(clean(text, MAX_FALLBACK), MAX_FALLBACK), tuple(blocks))


def _rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def _section(*elements: Block) -> Block:
    return {"type": "rich_text_section", "elements": list(elements)}


def _line(elements: Iterable[Block]) -> Block:
    return _section(*elements, _text("\n"))


def _listed(items: list[Block], ordered: bool) -> Block:
    return {"type": "rich_text_list", "style": "ordered" if ordered else "bullet", "elements": items}


def _text(text: str, bold: bool = False) -> Block:
    return {"type": "text", "text": text} | ({"style": {"bold": True}} if bold else {})


def _bold(text: str) -> Block:
    return _text(text, bold=True)


def _code(text: str) -> Block:
    return {"type": "text", "text": text, "style": {"code": True}}


def _context(text: str) -> Block:
    # Plain text knows no markup either; it is cut here because it is the one kind of text that Slack limits.
    return {"type": "context", "elements": [{"type": "plain_text", "text": text[:MAX_TEXT], "emoji": False}]}


def _who(customer_id: str, company_name: str | None, report: str | None) -> tuple[Block, ...]:
    """The name in bold, which leads to the customer on the report, and the identifier that ``churn customer`` takes; the identifier alone
    where there is no name."""
    shown = clean(customer_id, _NAME)
    if not company_name or not company_name.strip():
        return (_linked(shown, customer_id, report),)
    return _linked(clean(company_name, _NAME), customer_id, report), _text(f" {shown}")


def _linked(text: str, customer_id: str, report: str | None) -> Block:
    address = f"{report}#customer={quote(customer_id, safe='', errors='replace')}" if report else ""
    if not address or len(address) > _ADDRESS:
        return _bold(text)
    return {"type": "link", "url": address, "text": text, "style": {"bold": True}}


def _link_elements(links: Sequence[Link]) -> tuple[Block, ...]:
    """Links that a browser opens as links, commands and paths as code."""
    elements: list[Block] = []
    for link in links:
        label, target = clean(link.label, 60), clean(link.target, 600)
        if target.startswith(("https://", "http://")):
            # An address that was cut leads nowhere.
            shown = (
                [{"type": "link", "url": link.target.strip(), "text": label}] if target == link.target.strip() else []
            )
        else:
            shown = [_text(f"{label}: "), _code(target)]
        between = [_text("  ·  ")] if elements and shown else []
        if len(json_text([*elements, *between, *shown], ascii_only=False)) <= _LINKS:
            elements += [*between, *shown]
    return tuple(elements)


def _list_block(
    title: Block, items: Sequence[Block], count: int, room: int, ordered: bool, after: str = ""
) -> list[Block]:
    """A title and a list, as much of it as fits; what does not is counted in the last line."""
    heading = [title, *([_text(after)] if after else [])]
    if not items:
        return [_rich(_section(*heading))]
    kept = _fitting(items, room)
    more = [_section(_text(f"and {count - len(kept):,} more"))] if count > len(kept) else []
    return [_rich(_section(*heading), _listed(kept, ordered), *more)]


def _fitting(items: Sequence[Block], room: int) -> list[Block]:
    """The first items, at least one, that take at most ``room`` characters of JSON."""
    kept: list[Block] = []
    for item in items:
        room -= _size(item)
        if room < 0 and kept:
            break
        kept.append(item)
    return kept


def _size(item: Block) -> int:
    """The characters of JSON that an item of a list takes."""
    return len(json_text(item, ascii_only=False)) + 2


def _total_change(tiers: Sequence[TierCount]) -> float | None:
    changes = [tier.revenue_change for tier in tiers if tier.revenue_change is not None]
    return sum(changes) if changes else None


def _duration(span: timedelta) -> str:
    minutes = max(0, round(span.total_seconds() / 60))
    if minutes < 60:
        return counted(minutes, "minute")
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else counted(hours // 24, "day")
