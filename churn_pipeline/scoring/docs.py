"""Renders the page of the reasons: ``python -m churn_pipeline.scoring.docs HOME`` prints it for the newest Monday of a home.

Whoever writes a template sees there what it says of the customer with the lowest value that it is said of, of the one in the middle, and of the one
with the highest.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.themes import NEVER_A_REASON, THEMES
from churn_pipeline.features.catalogue import Catalogue, Feature, read_catalogue
from churn_pipeline.scoring.peers import ABOUT, ABOVE, BELOW, LITTLE, MIN_PEERS, OTHERS, SIMILAR, UNKNOWN
from churn_pipeline.scoring.themes import AND_YET, EVIDENCE_SHARE, MIN_SHARE, TOP, Words

_HEAD = f"""# Reasons

<!-- Written by `make generate` from the YAML of the marts; edit that. -->

Why a customer is on the list is told by theme: the contributions of the features of a theme are added, and of the themes that raise the risk
the {TOP} largest have a sentence each. One that raises less than {MIN_SHARE:.0%} of what all of them raise is left out, unless it is the largest.
{{never}} is never a reason: a customer can do nothing about it.

The sentence comes from the feature that raises most in its theme, in the words of its case. What is added to it, after a semicolon, is what another
feature of the theme says as evidence, if that raises at least {EVIDENCE_SHARE:.0%} as much. Features of one fact are told once, and so is every
column that a sentence names.

`below` is a value in the lowest quarter of {SIMILAR} (the customers on the same plan on the same Monday; {OTHERS} where fewer than {MIN_PEERS}
have a value) that is at most {LITTLE:.0%} of their median; `above` is one in the highest quarter of which the median is at most {LITTLE:.0%}; anything else is
`about`. Only such a comparison makes a word like "little". A case without a sentence leaves the word to the next feature of the theme; where
none has one, the sentence of `about` is said after all, or label and value.

`worse` in the YAML says on which side of what similar companies have (or of no change) a value speaks for leaving. A value on the other side, or
one that reads the same, leaves the word to the next feature as well; where the theme has nothing better, its sentence ends
"{AND_YET.removeprefix(", ")}".

The sentences stand in the YAML of the mart (`says` and `also`): what stands in square brackets is left out where its value is unknown or 0. What
can be written in braces is described in `churn_pipeline/features/sentences.py`. Below is what each says of the customers of {{where}}, with the
lowest value that it is said of, the one in the middle, and the highest.
"""
_CASES = {"below": BELOW, "no": BELOW, "about": ABOUT, "above": ABOVE, "yes": ABOVE, "unknown": UNKNOWN}


def render(catalogue: Catalogue, frame: pd.DataFrame, where: str) -> str:
    """The page as Markdown.

    Args:
        catalogue: of the mart of the target of role risk.
        frame: the mart's rows of one Monday, all of them, ordered by customer_id.
        where: whose customers they are, completing "the customers of".
    """
    never = " and ".join(f"**{THEMES[theme]}**" for theme in THEMES if theme in NEVER_A_REASON)
    parts = [_HEAD.format(never=never, where=where)]
    words = Words(catalogue, frame)
    for theme, label in THEMES.items():
        members = [(place, feature) for place, feature in enumerate(catalogue) if feature.theme == theme]
        parts.append(f"## {label}\n\n`{theme}`: {', '.join(f'`{feature.name}`' for _, feature in members)}\n")
        if theme in NEVER_A_REASON or not members:
            continue
        for _, feature in members:
            if feature.like:
                parts.append(f"`{feature.name}` speaks like `{feature.like}`.\n")
        rows = [row for place, feature in members for row in _rows(words, place, feature, frame)]
        parts.append(
            markdown_table(["feature", "fact", "case", "template", "lowest", "in the middle", "highest"], rows) + "\n"
        )
    return "\n".join(parts)


def _rows(words: Words, place: int, feature: Feature, frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    case_of = np.asarray(words.case[place])
    for key, also in (("says", False), ("also", True)):
        for case, template in (getattr(feature, key) or {}).items():
            if template is None:
                continue
            # Nulls and categories have no order: the first customer stands for all.
            chosen = np.flatnonzero(case_of == _CASES[case] if case in _CASES else case_of != UNKNOWN)
            values = frame[feature.name].iloc[chosen] if feature.name in frame else pd.Series(dtype=object)
            if feature.dtype == "numeric":
                chosen = chosen[np.argsort(values.to_numpy(dtype="float64"), kind="stable")]
            sentences = [text for row in chosen if (text := words.sentence(place, int(row), also=also))]
            # Of a case that nobody is in there is nothing to show.
            three = [sentences[0], sentences[(len(sentences) - 1) // 2], sentences[-1]] if sentences else ["", "", ""]
            yield (
                f"`{feature.name}`",
                f"`{feature.fact or feature.name}`",
                f"{case} (added)" if also else case,
                f"`{template}`",
                *three,
            )


def page(settings: Settings, where: str) -> str:
    """The page for the newest Monday of a home.

    Args:
        settings: the home.
        where: see :func:`render`.
    """
    mart = target_of("risk").mart
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        frame = con.execute(
            f"""
            select * from marts.{mart} where snapshot_date = (select max(snapshot_date) from marts.{mart})
            order by customer_id
            """
        ).df()
    return render(read_catalogue(settings.dbt_project / "models" / "marts" / f"{mart}.yml"), frame, where)


if __name__ == "__main__":
    sys.stdout.write(page(Settings(home=Path(sys.argv[1])), f"the home {Path(sys.argv[1]).resolve().name}"))
