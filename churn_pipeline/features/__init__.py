"""What the feature marts are to hold, and what is read from them.

Here: which snapshots and days a run has to build, which Mondays passed their checks, and the frames that training and scoring
read. Not here: the features themselves, which are SQL in ``dbt_project``; the mathematics, which is ``modeling``.
"""
