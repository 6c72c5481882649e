"""PostgreSQL for dashboards: a copy of what is published, in schema ``churn``, behind CHURN_PUBLISH_URL.

Here: the schema and its versions (``migrations``), how a publication replaces Mondays (``publish``), how a customer is erased
(``forget``). Not here: anything that computes; every row comes from HOME/data/published.

What is guaranteed
    *One transaction.* Readers see the former Mondays until the commit and the new ones after it, and nobody waits for anybody.

    *Nothing is missed for good.* What each table holds of each day is noted in ``churn.contents``, in the same transaction. A
    publication compares that with what is published and brings along whatever PostgreSQL missed while it was away.

    *The password is in no message.* See ``connection``.
"""
