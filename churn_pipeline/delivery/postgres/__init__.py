"""PostgreSQL for dashboards: a copy of what is published, in schema ``churn``, behind CHURN_PUBLISH_URL.

Here: the schema and its versions (``migrations``), how a publication replaces Mondays (``publish``), how a customer is erased
(``forget``), what an administrator prepares once (``administrator.sql``) and how it is held against that (``rights``). Not here: anything that computes; every row comes from HOME/data/published.

What is guaranteed
    *One transaction.* Readers see the former Mondays until the commit and the new ones after it, and nobody waits for anybody.

    *Nothing is missed for good.* What each table holds of each day is noted in ``churn.contents``, in the same transaction. A
    publication compares that with what is published and brings along whatever PostgreSQL missed while it was away.

    *Nobody's rights but what it needs.* Publication makes no role and no schema, and writes into nothing that belongs to somebody else.
    One at a time: a row is locked that readers cannot lock.

    *The password is in no message.* See ``connection``.
"""
