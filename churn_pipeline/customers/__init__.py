"""What the pipeline knows about one customer, for people and for programs.

Pure: values, entities, predictions, the profile (Customer 360), use cases, guardrails of briefs. They know no database, file or server.
Repositories are protocols here; what stands behind them lies in ``stores`` (the published database; the warehouse, as of any Monday).
Every number is the one of the published table, never computed a second time beside it. What decides about a customer is made in the
policy and the scoring rooms, not here.
"""
