"""From the features of a Monday and its models to probabilities and reasons.

Here: the mathematics of scoring and the wording of drivers. Not here: tiers, plays and dollars, which are policy and live in dbt.
"""
