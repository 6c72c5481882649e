"""The themes: what a feature is about. Contributions are added by theme, and the reasons that people read are themes.

A feature names its theme in the YAML of its mart; the names and how people call them are declared here and nowhere else.
"""

from __future__ import annotations

from typing import Literal

Theme = Literal["adoption", "usage", "support", "contract", "lifecycle", "plan", "compliance", "calendar"]

THEMES: dict[Theme, str] = {
    "adoption": "Adoption",
    "usage": "Usage",
    "support": "Support",
    "contract": "Contract",
    "lifecycle": "Time as a customer",
    "plan": "Plan and price",
    "compliance": "Compliance",
    "calendar": "Season and market",
}

# What a customer can do nothing about moves the probability, and is no reason to call.
NEVER_A_REASON: frozenset[Theme] = frozenset({"calendar"})

# What a change of probability is made of besides the themes: the raise to the probability of a shorter horizon, and features that a stored
# version knows and nobody has given a theme.
RAISE = "raise"
OTHER = "other"
PARTS: dict[str, str] = {
    **{str(theme): label for theme, label in THEMES.items()},
    OTHER: "Other",
    RAISE: "Raised to the risk of a shorter time",
}
