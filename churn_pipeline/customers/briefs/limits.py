"""How long the parts of a brief may be."""

from __future__ import annotations

from churn_pipeline.customers.briefs.model import Part

# What somebody reads before they pick up the phone, in words.
LONGEST = {
    Part.WHY_NOW: 110,
    Part.LEAD_WITH: 90,
    Part.SETTLE_FIRST: 110,
    Part.NEXT_STEP: 80,
    Part.EMAIL: 110,
}
EMAIL_SENTENCES = 3
