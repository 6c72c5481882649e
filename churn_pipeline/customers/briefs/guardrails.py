"""What no text of a brief gets past, whoever wrote it.

Each guard knows one kind of mistake. Some mend it (a text that presses, bold type) and say so; the others reject the text. What a guard lets
through is no promise that a text is good: the watermark says that a person reads it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from churn_pipeline.contract.declaration import TIERS
from churn_pipeline.core.formatting import clean
from churn_pipeline.customers.briefs import words
from churn_pipeline.customers.briefs.facts import Fact, Facts
from churn_pipeline.customers.briefs.figures import Figure, Unit, agrees, figures
from churn_pipeline.customers.briefs.limits import EMAIL_SENTENCES, LONGEST
from churn_pipeline.customers.briefs.model import BriefKind, Part, Result
from churn_pipeline.customers.briefs.placeholders import MEANINGS, broken
from churn_pipeline.customers.briefs.words import Words

# What an unfounded word or figure costs of fact_confidence, and how many unfounded words a text may have.
COST = 0.25
UNFOUNDED_WORDS = 2
# Characters of a part over which it is not even looked at.
ENDLESS = 2_000


@dataclass(frozen=True)
class Limits:
    """What the texts of a brief are held to.

    Attributes:
        parts: that were asked for.
        instructions: that the writer was given; a text does not repeat them.
        may_press: whether the propensity is high enough to press.
        tiers: names of the risk tiers.
    """

    facts: Facts
    kind: BriefKind
    parts: tuple[Part, ...]
    instructions: str
    may_press: bool
    tiers: tuple[str, ...]

    @cached_property
    def vocabulary(self) -> frozenset[str]:
        """The words of all facts, small."""
        return frozenset(_words(self.all_facts)) | frozenset(_stem(word) for word in _words(self.all_facts))

    @cached_property
    def all_facts(self) -> str:
        return " ".join(fact.text for fact in self.facts.facts)

    def facts_for(self, part: Part) -> tuple[Fact, ...]:
        """The facts that a part may use."""
        return tuple(fact for fact in self.facts.facts if fact.is_for_customer or part is not Part.EMAIL)


@dataclass(frozen=True)
class Finding:
    """What a guard found in a part.

    Attributes:
        guard: its name.
        part: where; None of the whole.
        flag: in words, for whoever reads the brief.
        rejects: whether the text is not to be shown.
        cost: of fact_confidence.
        unfounded: whether it is a word that looks like a feature and is none: two of them reject.
    """

    guard: str
    part: Part | None
    flag: str
    rejects: bool = True
    cost: float = 0.0
    unfounded: bool = False


@dataclass(frozen=True)
class Verdict:
    """What the guardrails say of a draft.

    Attributes:
        parts: the texts, mended; none of a rejected draft.
    """

    parts: Mapping[Part, str]
    result: Result
    fact_confidence: float
    findings: tuple[Finding, ...]

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(finding.flag for finding in self.findings))


type Texts = dict[Part, str]


@dataclass(frozen=True)
class Guard:
    """A rule that every text keeps.

    Attributes:
        name: what it guards against.
        look: the findings in the texts. One that mends changes the texts it is handed.
    """

    name: str
    look: Callable[[Texts, Limits], Iterable[Finding]]


def limits_of(
    facts: Facts,
    kind: BriefKind,
    parts: Sequence[Part],
    instructions: str,
    *,
    may_press: bool,
    tiers: Sequence[str] = (),
) -> Limits:
    """What the texts of one brief are held to."""
    return Limits(facts, kind, tuple(parts), instructions, may_press, tuple(tiers))


def check(parts: Mapping[Part, str], limits: Limits, guards: Sequence[Guard] | None = None) -> Verdict:
    """Looks at every text of a draft.

    Args:
        parts: as a writer gave them.
        limits: what they are held to.
        guards: all of them unless a test takes one out.
    """
    texts = dict(parts)
    found: list[Finding] = []
    # Nobody reads so much, and the guards would take seconds over it.
    if endless := next((part for part, text in texts.items() if len(text) > ENDLESS), None):
        found.append(Finding("length", endless, f"{_LABELS[endless]}: {len(texts[endless]):,} characters"))
        return Verdict({}, Result.REJECTED, 1.0, tuple(found))
    for guard in GUARDS if guards is None else guards:
        found += guard.look(texts, limits)
        # What is too long, or says one thing again and again, is rejected for that: the guards of facts would take seconds over it.
        if guard.name in _FORM and any(finding.rejects for finding in found if finding.guard == guard.name):
            break
    is_rejected = any(finding.rejects for finding in found) or sum(f.unfounded for f in found) >= UNFOUNDED_WORDS
    result = Result.REJECTED if is_rejected else Result.FLAGGED if found else Result.PASSED
    return Verdict(
        parts={} if is_rejected else {part: texts[part] for part in Part if part in texts},
        result=result,
        fact_confidence=max(0.0, 1.0 - sum(finding.cost for finding in found)),
        findings=tuple(found),
    )


_FORM = frozenset({"length", "repetition"})


def _found(guard: str, part: Part, hit: str, why: str, **rest: object) -> Finding:
    return Finding(guard, part, f'{_LABELS[part]}: "{clean(hit.strip(), 60, "…")}" {why}', **rest)  # type: ignore[arg-type]


_LABELS = {
    Part.WHY_NOW: "Why now",
    Part.LEAD_WITH: "Lead with",
    Part.SETTLE_FIRST: "Settle first",
    Part.NEXT_STEP: "Next step",
    Part.EMAIL: "E-mail",
}


# Form.


def _letter(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """Greeting and signature of an e-mail are the sender's own; anywhere else nobody writes a letter."""
    for part, text in list(texts.items()):
        if part is Part.EMAIL and limits.kind is BriefKind.TACTICAL:
            bare = _GREETING.sub("", _SIGNATURE.sub("", text.strip())).strip()
            if bare != text.strip():
                texts[part] = bare
                yield Finding("letter", part, "E-mail: its subject, greeting or signature was taken out", rejects=False)
        elif hit := words.MAIL.pattern.search(text):
            yield _found("letter", part, hit[0], words.MAIL.why)


_GREETING = re.compile(r"^(?:subject:[^\n]*\n+)?\s*(?:(?:dear|hi|hello|hey)\b[^,\n.!?]{0,40}[,:!]\s*)?", re.IGNORECASE)
_SIGNATURE = re.compile(
    r"\s*\n*(?:(?:best|kind|warm|many)(?: regards| wishes)?|regards|sincerely|thanks|cheers|yours truly)\s*,?\s*(?:\n.*|\[\w+\])?\s*$",
    re.IGNORECASE | re.DOTALL,
)


def _markup(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in list(texts.items()):
        if hit := _REJECTED_MARKUP.search(text):
            yield _found("markup", part, hit[0], "is markup")
            continue
        plain = text
        for pattern, instead in _MENDED_MARKUP:
            plain = pattern.sub(instead, plain)
        plain = "".join(c for c in plain if unicodedata.category(c) not in ("So", "Sk") and c not in _EMOJI_PARTS)
        plain = " ".join(plain.split())
        if plain != " ".join(text.split()):
            yield Finding(
                "markup", part, f"{_LABELS[part]}: bold type, list marks or pictures were taken out", rejects=False
            )
        texts[part] = plain


_EMOJI_PARTS = "\ufe0f\u20e3"
_REJECTED_MARKUP = re.compile(
    r"<\s*[/!?]?\s*[a-z][^>]*>?|&(?:#\w+|[a-z]{2,8});|<!--|-->|```|`[^`]+`|!?\[[^\]]*\]\s*\([^)]*\)|\|.*\||^\s*\|?\s*:?-{3,}|\{\{|\{%|</|\$\(|\\[a-z]+\{|^\s*[{\[]\s*\"",
    re.IGNORECASE | re.MULTILINE,
)
_MENDED_MARKUP = (
    (re.compile(r"\*\*(.+?)\*\*|__(.+?)__", re.DOTALL), lambda m: m[1] or m[2]),
    (re.compile(r"(?<![\w*])\*(?!\s)([^*\n]+?)\*(?!\w)"), lambda m: m[1]),
    (re.compile(r"^\s*(?:[-*•·▪]|\d{1,2}[.)])\s+", re.MULTILINE), ""),
    (re.compile(r"^\s*#{1,6}\s+", re.MULTILINE), ""),
)


def _hidden(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        for character in text:
            category = unicodedata.category(character)
            if category in ("Cf", "Cn", "Co", "Cs", "Zl", "Zp") or (category == "Cc" and character not in "\n\r\t"):
                yield _found("hidden", part, f"U+{ord(character):04X}", "is a character that nobody sees")
                break
            # ¾, ⁹⁰, ⑦, Ⅷ: figures that the guard of figures does not read.
            if category in ("Mn", "Me", "Nl", "No") or "\uff01" <= character <= "\uff5e":
                yield _found("hidden", part, f"U+{ord(character):04X}", "is a character that looks like another")
                break


def _shape(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part in limits.parts:
        if len(_words(texts.get(part, ""))) < 3:
            yield Finding("shape", part, f"{_LABELS[part]}: nothing was written")
    for part in texts.keys() - set(limits.parts):
        yield Finding("shape", part, f"{_LABELS[part]}: was not asked for")


def _ending(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        end = text.strip()
        if end and (not _WHOLE.search(end) or _CUT.search(end)):
            yield _found("ending", part, end[-40:], "is where the text breaks off")


_WHOLE = re.compile(r"[.!?][\"'”’)]?$")
_CUT = re.compile(r"(?:\.\.\.|…|\b(?:and|or|the|an?|because|their|your)[.,!?]?)[\"'”’)]?$", re.IGNORECASE)


def _length(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        if (count := len(_words(text))) > LONGEST[part]:
            yield Finding("length", part, f"{_LABELS[part]}: {count} words, and {LONGEST[part]} are the most")


def _sentence_count(texts: Texts, limits: Limits) -> Iterator[Finding]:
    if Part.EMAIL in texts and (count := len(_sentences(texts[Part.EMAIL]))) != EMAIL_SENTENCES:
        yield Finding("sentences", Part.EMAIL, f"E-mail: {count} sentences, and it has {EMAIL_SENTENCES}")


# So many words in a row, three times over, are no turn of phrase any more.
_RUN = 5


def _repetition(texts: Texts, limits: Limits) -> Iterator[Finding]:
    sentences = [
        (part, sentence) for part, text in texts.items() for sentence in _sentences(text) if len(_words(sentence)) > 3
    ]
    counts = Counter(" ".join(_words(sentence)) for _, sentence in sentences)
    for part, sentence in sentences:
        if counts[" ".join(_words(sentence))] > 1:
            yield _found("repetition", part, sentence, "is said twice")
            return
    for part, text in texts.items():
        tokens = re.findall(r"\w+", text.lower())
        runs = Counter(tuple(tokens[n : n + _RUN]) for n in range(len(tokens) - _RUN + 1))
        if any(a == b == c for a, b, c in zip(tokens, tokens[1:], tokens[2:], strict=False)) or any(
            n > 2 for n in runs.values()
        ):
            yield Finding("repetition", part, f"{_LABELS[part]}: repeats itself")


def _language(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        if strange := next((c for c in text if c.isalpha() and not unicodedata.name(c, "").startswith("LATIN")), None):
            yield _found("language", part, strange, "is no letter of English")
            continue
        if long := next((token for token in re.split(r"[\s/–—-]+", text) if len(token) > 28), None):
            yield _found("language", part, long, "is no word")
            continue
        tokens = _words(text)
        if len(tokens) < 5:
            continue
        english = sum(token in words.ENGLISH for token in tokens)
        foreign = sum(token in words.FOREIGN for token in tokens)
        if english < 0.2 * len(tokens) or foreign > 0.15 * len(tokens):
            yield Finding("language", part, f"{_LABELS[part]}: is not English, or no language at all")


def _placeholders(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        for hit in broken(text)[:1]:
            yield _found("placeholders", part, hit, "is a placeholder that nothing can fill")


def _leaks(texts: Texts, limits: Limits) -> Iterator[Finding]:
    told = _words(limits.instructions)
    runs = {tuple(told[n : n + 8]) for n in range(len(told) - 7)}
    for part, text in texts.items():
        if hit := words.LEAKS.pattern.search(text):
            yield _found("leaks", part, hit[0], words.LEAKS.why)
            continue
        tokens = _words(text)
        if any(tuple(tokens[n : n + 8]) in runs for n in range(len(tokens) - 7)):
            yield Finding("leaks", part, f"{_LABELS[part]}: repeats the instructions")


# Urgency, which is mended.


def _urgency(texts: Texts, limits: Limits) -> Iterator[Finding]:
    if limits.may_press:
        return
    for part, text in list(texts.items()):
        kept, hits = [], []
        for sentence in _sentences(text):
            # "Urgent tickets" are what a fact calls them.
            if part is not Part.EMAIL and all(_is_said_by(limits, hit) for hit in _pressing(sentence)):
                kept.append(sentence)
                continue
            calm, pressed = _calmed(sentence)
            hits += pressed
            if calm:
                kept.append(calm)
        if hits:
            texts[part] = " ".join(kept)
            yield _found("urgency", part, hits[0], f"was taken out: it {words.URGENT_CLAUSES.why}", rejects=False)


def _pressing(sentence: str) -> list[str]:
    return [
        match[0]
        for listed in (words.URGENT_CLAUSES, words.URGENT_ADVERBS)
        for match in listed.pattern.finditer(sentence)
    ]


def _calmed(sentence: str) -> tuple[str, list[str]]:
    """A sentence without what presses in it, empty where nothing is left, and what pressed."""
    hits = [match[0] for match in words.URGENT_CLAUSES.pattern.finditer(sentence)]
    if hits:
        pieces = re.split(r"(?:\s*[,;:–—]\s*|\s+-\s+|\s+(?=before (?:it|they|you)\b))", sentence)
        calm = [piece for piece in pieces if not words.URGENT_CLAUSES.pattern.search(piece)]
        first = pieces[0] if pieces else ""
        # A clause can only go where the sentence begins whole.
        sentence = ", ".join(calm) if calm and calm[0] == first and len(_words(", ".join(calm))) >= 4 else ""
    adverbs = [match[0] for match in words.URGENT_ADVERBS.pattern.finditer(sentence)]
    if adverbs:
        sentence = words.URGENT_ADVERBS.pattern.sub("", sentence)
        sentence = re.sub(r"\s+([.,;!?])", r"\1", re.sub(r"\s{2,}", " ", sentence)).lstrip(" ,;").strip()
        sentence = re.sub(r",(?=[.!?,])", "", sentence)
    if (hits or adverbs) and sentence:
        sentence = sentence[0].upper() + sentence[1:]
        if not re.search(r"[.!?]$", sentence):
            sentence += "."
    return sentence if len(_words(sentence)) >= 2 or not (hits or adverbs) else "", [*hits, *adverbs]


# What is said.


def _listed(name: str, *lists: Words, only: frozenset[Part] = frozenset(Part), may_warn: bool = False) -> Guard:
    """A guard that rejects the words of lists, unless a fact has them.

    Args:
        name: of the guard.
        lists: whose words reject.
        only: the parts that are looked at.
        may_warn: whether a brief may name it to warn of it: "no discount".
    """

    def look(texts: Texts, limits: Limits) -> Iterator[Finding]:
        for part, text in texts.items():
            if part not in only:
                continue
            for hit, why in _hits(text, lists):
                sentence = _around(text, hit)
                if part is not Part.EMAIL and _is_said_by(limits, hit[0]):
                    continue
                if may_warn and part is not Part.EMAIL and _WARNS.search(sentence[: sentence.find(hit[0])]):
                    continue
                yield _found(name, part, hit[0], why)
                break

    return Guard(name, look)


_WARNS = re.compile(
    r"\b(?:avoid|do not|don(?:'|’)t|never|no|not|without|rather than|instead of|leave out|keep away from)\b",
    re.IGNORECASE,
)


def _hits(text: str, lists: Iterable[Words]) -> Iterator[tuple[re.Match[str], str]]:
    bare = _without_placeholders(text)
    for listed in lists:
        for match in listed.pattern.finditer(bare):
            yield match, listed.why


def _is_said_by(limits: Limits, hit: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(hit.strip())}(?!\w)", limits.all_facts, re.IGNORECASE) is not None


def _names(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """A capital within a sentence is a name, and no fact names anybody."""
    for part, text in texts.items():
        bare = _without_placeholders(text)
        if hit := words.GIVEN_NAMES.pattern.search(bare):
            yield _found("names", part, hit[0], words.GIVEN_NAMES.why)
            continue
        for sentence in _sentences(bare):
            inner = re.sub(r"^[^\w]*\w[\w'’-]*", "", sentence)
            for match in re.finditer(r"(?<![\w'’.])([A-Z][\w'’&-]*)", inner):
                before = inner[: match.start()].rstrip()
                if before.endswith((":", '"', "“", "(")):
                    continue
                if not _is_known(match[1], limits):
                    yield _found("names", part, match[1], "names somebody or something that no fact names")
                    break


def _is_known(name: str, limits: Limits) -> bool:
    pieces = [piece.removesuffix("'s").removesuffix("’s") for piece in re.split(r"[-&/]", name) if piece]
    return all(
        piece in words.KNOWN_NAMES
        or piece in limits.all_facts.split()
        or piece.lower() in limits.vocabulary
        or piece.lower() in words.ENGLISH
        or piece.lower() in words.ROLES
        or piece.lower() in (limits.facts.plan, limits.facts.target)
        or (piece in limits.tiers)
        for piece in (re.sub(r"(?:'|’)(?:ll|re|ve|d|m|s)$", "", piece) for piece in pieces)
        if piece
    )


def _features(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """Words that look like a feature or a measure and are none of the facts."""
    seen: set[str] = set()
    for part, text in texts.items():
        bare = _without_placeholders(text)
        for hit, is_known in _feature_like(bare):
            key = hit.lower()
            if key in seen:
                continue
            if not is_known(hit, limits):
                seen.add(key)
                yield _found(
                    "features",
                    part,
                    hit,
                    "looks like a measure and is in no fact",
                    rejects=False,
                    cost=COST,
                    unfounded=True,
                )


def _feature_like(text: str) -> Iterator[tuple[str, Callable[[str, Limits], bool]]]:
    for match in re.finditer(r"(?<![\w/])[A-Za-z][a-z0-9]*(?:_[a-z0-9]+)+|(?<!\w)[a-z]+[A-Z]\w*", text):
        yield match[0], _is_feature
    endings = "|".join(words.METRIC_ENDINGS)
    for match in re.finditer(rf"(?<!\w)(?:([a-z]+)[ -])?([a-z]+)[ -]({endings})(?!\w)", text, re.IGNORECASE):
        yield match[0], _is_founded
    for match in words.METRICS.pattern.finditer(text):
        yield match[0], _is_told


def _is_feature(hit: str, limits: Limits) -> bool:
    return hit.lower() in limits.facts.features


def _is_told(hit: str, limits: Limits) -> bool:
    return _is_said_by(limits, hit)


def _is_founded(hit: str, limits: Limits) -> bool:
    return all(_stem(word) in limits.vocabulary or word in words.ENGLISH for word in _words(hit))


def _figures(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        facts = limits.facts_for(part)
        for sentence in _sentences(text):
            found = [figure for figure in figures(sentence) if figure.unit is not Unit.DATE and figure.values]
            for figure in found:
                matching = [fact for fact in facts if agrees(figure, fact.figures)]
                if not matching:
                    yield _found("figures", part, figure.text, "is no figure of a fact", cost=COST)
                elif problem := _misplaced(sentence, figure, found, matching, facts):
                    yield _found("figures", part, figure.text, problem, cost=COST)
                elif all(_stems(fact.text) and not _stems(sentence) & _stems(fact.text) for fact in matching):
                    yield _found("figures", part, figure.text, "stands far from the fact that has it", cost=COST)


def _misplaced(
    sentence: str, figure: Figure, found: Sequence[Figure], matching: Sequence[Fact], facts: Sequence[Fact]
) -> str | None:
    """Whether a right number is said of the wrong thing, or of the wrong days."""
    clause = _stems(_clause(sentence, figure))
    others = [fact for fact in facts if fact not in matching and any(f.unit is figure.unit for f in fact.figures)]
    if not any(clause & _stems(fact.text) for fact in matching) and any(clause & _stems(fact.text) for fact in others):
        return "is the figure of another fact"
    windows = [
        other
        for other in found
        if other is not figure and other.unit is Unit.DAYS and _LAST.search(sentence[: other.start])
    ]
    windows += [spelled for match in _LAST_ONE.finditer(sentence) for spelled in figures(f"one {match[1]}")]
    spans = [*windows, *(other for other in found if other is not figure and other.unit is Unit.DAYS)]
    in_days = [fact for fact in matching if any(agrees(span, fact.figures) for span in spans)]
    if figure.unit in (Unit.COUNT, Unit.PERCENT) and windows and not in_days:
        return "is the figure of other days"
    rate = _RATE.match(sentence[figure.end :])
    if rate and all(rate[0].strip() not in fact.text for fact in matching) and figure.unit is Unit.COUNT:
        return "is the figure of other days"
    of_peers = _is_of_peers(sentence, figure)
    if not any(agrees(figure, _side(fact, of_peers)) for fact in matching):
        return "is not the figure of similar companies" if of_peers else "is the figure of similar companies"
    return None


_RATE = re.compile(r"\s*(?:times |events |trials )?(?:a|per|each|every) (?:day|week|month|hour)\b", re.IGNORECASE)
_BEFORE_PEERS = re.compile(rf"\s*(?:of|at|in|for|among|with|that)?\s*(?:{words.PEERS})", re.IGNORECASE)
_AFTER_PEERS = re.compile(
    rf"(?:{words.PEERS})\W+(?:(?:have|has|had|are|is|at|stand|show|reach|with|about|of|only|just|a|gap|the)\W+){{0,4}}$",
    re.IGNORECASE,
)


def _is_of_peers(sentence: str, figure: Figure) -> bool:
    """Whether a figure is said of others than the customer."""
    return bool(_BEFORE_PEERS.match(sentence[figure.end :]) or _AFTER_PEERS.search(sentence[: figure.start]))


def _side(fact: Fact, of_peers: bool) -> list[Figure]:
    """The figures of a fact that are of similar companies, or the customer's own."""
    theirs = [figure for figure in figures(fact.text) if _is_of_peers(fact.text, figure)]
    return theirs if of_peers else [*(figure for figure in figures(fact.text) if figure not in theirs), *fact.more]


_LAST = re.compile(r"\b(?:last|past|previous|recent)\s+$", re.IGNORECASE)


_LAST_ONE = re.compile(r"\b(?:last|past|previous)\s+(week|month|quarter|year)\b", re.IGNORECASE)


_JOINT = re.compile(r"[,;–—]|\band\b|\bbut\b|\bwhile\b")


def _clause(sentence: str, figure: Figure) -> str:
    before = _JOINT.split(sentence[: figure.start])[-1]
    after = _JOINT.split(sentence[figure.end :])[0]
    return f"{before} {after}"


def _dates(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        known = [figure for fact in limits.facts_for(part) for figure in fact.figures]
        for figure in figures(text):
            if figure.unit is Unit.DATE and not agrees(figure, known):
                yield _found("dates", part, figure.text, "is no date of a fact", cost=COST)

    yield from _soon(texts, limits)


def _soon(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """That the contract ends soon, where it does not."""
    renewal = limits.facts.get("renewal")
    spans = [figure.values[0] for figure in renewal.figures if figure.unit is Unit.DAYS] if renewal else []
    for part, text in texts.items():
        for sentence in _sentences(text):
            if not (words.CONTRACT.pattern.search(sentence) and _ENDS.search(sentence)):
                continue
            for match in _SOON.finditer(sentence):
                if not spans or min(spans) > words.SOON[match[0].lower()]:
                    yield _found("dates", part, match[0], "is not when the contract ends", cost=COST)


_SOON = re.compile(rf"\b(?:{'|'.join(words.SOON)})\b", re.IGNORECASE)
_ENDS = re.compile(r"\b(?:end|ends|ending|expir\w+|renew\w*|due|up|over|runs? out|is|comes?)\b", re.IGNORECASE)


def _states(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """What is said to be so without a number, and is not: tickets, an opportunity, the tier of the risk."""
    tickets, opportunity, churn = (limits.facts.get(name) for name in ("tickets", "opportunity", "churn"))
    tier = next((name for name in limits.tiers if churn and f"({name})" in churn.text), None)
    for part, text in texts.items():
        bare = _without_placeholders(text)
        claims = (
            (_NO_TICKETS, tickets is not None and not tickets.text.startswith("No "), "and tickets are open"),
            (_TICKETS, tickets is None or tickets.text.startswith("No "), "and no fact has an open ticket"),
            (_WON, opportunity is None or "was won" not in opportunity.text, "and no fact has it"),
            (_LOST, opportunity is None or "was lost" not in opportunity.text, "and no fact has it"),
            (_NO_OPPORTUNITY, opportunity is not None and "is open" in opportunity.text, "and one is open"),
            (_OPPORTUNITY, not _has_open_opportunity(limits.facts), "and none is open"),
        )
        for pattern, is_false, why in claims:
            hit = pattern.search(bare) if is_false else None
            if hit and not _CONDITION.search(bare[: hit.start()].rpartition(".")[2]):
                yield _found("states", part, hit[0], why, cost=COST)
        for claim in _tier_claims(bare, limits.tiers):
            if tier is not None and claim[1].casefold() != tier.casefold():
                yield _found("states", part, claim[0], "and the facts name another tier", cost=COST)


def _has_open_opportunity(facts: Facts) -> bool:
    return any(
        (fact.name != "opportunity" and "opportunity is open" in fact.text)
        or (fact.name == "opportunity" and "is open" in fact.text)
        for fact in facts.facts
    )


def _tier_claims(text: str, tiers: Sequence[str]) -> Iterator[re.Match[str]]:
    if not tiers:
        return
    names = "|".join(map(re.escape, tiers))
    yield from re.finditer(
        rf"(?i:\brisk\b[^.;]{{0,50}}?\b(?:is|as|at|stays|remains|in)\b(?: the| a| rated| very| only)*) ?((?i:{names}))\b",
        text,
    )
    yield from re.finditer(rf"\b((?i:{names}))[ -](?i:risk|churn risk)\b", text)
    yield from re.finditer(rf"(?<![\w-])({names})(?![\w-])", text)


_CONDITION = re.compile(
    r"\b(?:once|when|if|after|until|as soon as|unless|before|whether|so that|make sure)\b[^.;]*$",
    re.IGNORECASE,
)
_NO_TICKETS = re.compile(
    r"\b(?:no|zero|without|not any|free of) (?:open |support |outstanding )*tickets?\b"
    r"|\b(?:nobody|no one) (?:has )?opened a ticket"
    r"|\b(?:all|every|both|the|their|your) (?:\w+ )?tickets? (?:is|are|were|was|have been|has been|got) (?:now |all )?(?:closed|resolved|solved|settled|answered)",
    re.IGNORECASE,
)
_TICKETS = re.compile(
    r"\b(?:open|unresolved|outstanding|unsolved) (?:support )?tickets?\b|\btickets? (?:is|are) (?:still )?(?:open|unresolved)",
    re.IGNORECASE,
)
_WON = re.compile(
    r"\b(?:opportunity|deal)\b[^.;]{0,30}\b(?:was|is|been) (?:already )?won\b|\bwon (?:the |a )?(?:deal|opportunity)",
    re.IGNORECASE,
)
_LOST = re.compile(
    r"\b(?:opportunity|deal)\b[^.;]{0,30}\b(?:was|is|been) lost\b|\blost (?:the |a )?(?:deal|opportunity)",
    re.IGNORECASE,
)
_NO_OPPORTUNITY = re.compile(r"\bno (?:open |sales |current )*opportunit(?:y|ies)\b", re.IGNORECASE)
_OPPORTUNITY = re.compile(
    r"\b(?:open|running|current) (?:sales |expansion )?(?:opportunity|deal)\b|\bopportunity\b[^.;]{0,30}\bis (?:still )?open\b",
    re.IGNORECASE,
)


def _plans(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """Only the customer's plan and the next one exist for a text, and only the next one is moved to."""
    plan, target = limits.facts.plan, limits.facts.target
    for part, text in texts.items():
        for match in _PLAN.finditer(text):
            name = match["name"].lower()
            if (name in TIERS and name not in (plan, target)) or name in words.PLAN_WORDS:
                yield _found("plans", part, match[0], "is neither their plan nor the next one")
        for match in _MOVE.finditer(text):
            name = match["name"].lower()
            if name in TIERS and name != target:
                yield _found("plans", part, match[0], "is not the next plan")
        for match in _HAVE.finditer(text):
            name = match["name"].lower()
            if name in TIERS and name != plan:
                yield _found("plans", part, match[0], "is not the plan that they have")


_PLAN = re.compile(
    r"(?<!\w)(?P<name>[a-z]+)[ -](?:plan|tier|package|edition|subscription|level|licen[cs]e)s?(?!\w)", re.IGNORECASE
)
_MOVE = re.compile(
    r"\b(?:upgrad\w+|mov\w+|switch\w*|step\w*|go|going|chang\w+|migrat\w+|grow\w*|jump\w*)\s+(?:up\s+)?(?:them\s+|you\s+)?(?:on)?to\s+(?:the\s+|our\s+|an?\s+)?(?P<name>[a-z]+)(?!\w)",
    re.IGNORECASE,
)
_HAVE = re.compile(
    r"\b(?:(?:their|your)\s+(?:current|present|existing|own)\s+|currently on (?:the\s+)?|(?:outgrow\w*|leav\w+|from)\s+(?:the|their|your)\s+)(?P<name>[a-z]+)(?:\s+plan)?(?!\w)",
    re.IGNORECASE,
)


def _direction(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """A trend that no fact has, or its opposite."""
    known = set(_trends(limits.all_facts))
    for part, text in texts.items():
        for topic, rises, hit in _trend_hits(text):
            if (topic, rises) in known:
                continue
            if (topic, not rises) in known:
                yield _found("direction", part, hit, "is the opposite of what the facts say", cost=COST)
            else:
                yield _found(
                    "direction", part, hit, "is a change that no fact has", rejects=part is Part.EMAIL, cost=COST
                )


def _trends(text: str) -> Iterator[tuple[str, bool]]:
    return ((topic, rises) for topic, rises, _ in _trend_hits(text))


def _trend_hits(text: str) -> Iterator[tuple[str, bool, str]]:
    for clause in re.split(r"[.;:!?,–—]\s|\bbut\b|\bwhile\b", _without_placeholders(text)):
        for listed, rises in ((words.RISING, True), (words.FALLING, False)):
            for match in listed.pattern.finditer(clause):
                if re.search(
                    r"\b(?:not|no|never|without|if|whether|should|when|once|until)\b(?:\s+\w+){0,3}\s*$",
                    clause[: match.start()],
                    re.IGNORECASE,
                ):
                    continue
                for topic, named in words.TRENDS.items():
                    if re.search(rf"(?<!\w)(?:{named})(?!\w)", clause, re.IGNORECASE):
                        yield topic, rises, clause.strip()


def _quotes(texts: Texts, limits: Limits) -> Iterator[Finding]:
    for part, text in texts.items():
        for match in _QUOTED.finditer(text):
            said = next(filter(None, match.groups()))
            # A question in quotes is one to ask.
            if len(_words(said)) >= 3 and not (part is not Part.EMAIL and said.rstrip().endswith("?")):
                yield _found("quotes", part, said, "is given as somebody's words, and no fact has any")


_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|«([^»]+)»|‘([^’]{12,})’|(?<!\w)'([^']{12,})'(?!\w)")


def _tiers(texts: Texts, limits: Limits) -> Iterator[Finding]:
    """How grave a customer's risk is called belongs to no letter."""
    text = texts.get(Part.EMAIL, "")
    for name in limits.tiers:
        if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text):
            yield _found("jargon", Part.EMAIL, name, "is how the risk of a customer is called")
    if hit := re.search(r"(?<!\w)[A-Za-z][a-z0-9]*(?:_[a-z0-9]+)+(?!\w)", text):
        yield _found("jargon", Part.EMAIL, hit[0], "is the name of a feature")


def _jargon(texts: Texts, limits: Limits) -> Iterator[Finding]:
    yield from _tiers(texts, limits)
    yield from _listed("jargon", words.JARGON, only=_EMAIL).look(texts, limits)


_EMAIL = frozenset({Part.EMAIL})

# In this order: what a guard mends the next ones see mended.
GUARDS: tuple[Guard, ...] = (
    Guard("hidden", _hidden),
    Guard("letter", _letter),
    Guard("markup", _markup),
    Guard("urgency", _urgency),
    Guard("shape", _shape),
    Guard("placeholders", _placeholders),
    Guard("leaks", _leaks),
    Guard("language", _language),
    Guard("ending", _ending),
    Guard("length", _length),
    Guard("sentences", _sentence_count),
    Guard("repetition", _repetition),
    _listed("contact", words.CONTACT, words.ATTACHMENTS),
    _listed("identifiers", words.IDENTIFIERS),
    Guard("jargon", _jargon),
    _listed("inside", words.INSIDE, only=_EMAIL),
    Guard("features", _features),
    Guard("figures", _figures),
    Guard("dates", _dates),
    Guard("plans", _plans),
    Guard("direction", _direction),
    Guard("states", _states),
    _listed("offers", words.OFFERS, may_warn=True),
    _listed("promises", words.PROMISES, may_warn=True),
    _listed("legal", words.LEGAL),
    _listed("competitors", words.COMPETITORS),
    Guard("names", _names),
    _listed("hearsay", words.HEARSAY, words.COMPARED),
    Guard("quotes", _quotes),
    _listed("tone", words.RUDE),
    _listed("prejudice", words.PREJUDICE),
)


# Text.


def _without_placeholders(text: str) -> str:
    for placeholder in MEANINGS:
        text = text.replace(placeholder, " " * len(placeholder))
    return text


def _around(text: str, hit: re.Match[str]) -> str:
    """The sentence of a hit."""
    begin = max(text.rfind(mark, 0, hit.start()) for mark in ".!?")
    return text[begin + 1 : hit.end()]


def _words(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[^\W\d_]+(?:['’][^\W\d_]+)?", text)]


def _sentences(text: str) -> list[str]:
    pieces = re.split(r"(?<=[.!?])[\"”’)]?\s+(?=[\"“‘(\[]?\S)", text.strip())
    joined: list[str] = []
    for piece in pieces:
        if joined and _ABBREVIATION.search(joined[-1]):
            joined[-1] += f" {piece}"
        elif piece:
            joined.append(piece)
    return joined


_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|approx|vs|no|mr|mrs|ms|dr|etc|a\.m|p\.m)\.)$", re.IGNORECASE)
_ENDINGS = re.compile(r"(?:ies|ied|ing|ed|es|s|e|y|i)$")
# Words of so many facts that they tell nothing of which.
_COMMON = frozenset(
    words.each(
        "time last day they their them plan have been within this that with from next your customer week month year were product"
    )
)


def _stem(word: str) -> str:
    return _ENDINGS.sub("", word) if len(word) > 3 else word


def _stems(text: str) -> frozenset[str]:
    return frozenset(
        _stem(word)
        for word in _words(text)
        if len(word) > 3 and word not in _COMMON and _stem(word) not in _COMMON_STEMS and word not in words.ENGLISH
    )


_COMMON_STEMS = frozenset(_stem(word) for word in _COMMON)
