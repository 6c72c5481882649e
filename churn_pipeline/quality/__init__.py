"""Whether the data can be trusted: at landing, in the weekly feeds, and before predictions are published.

Here belong the expectations (generated from the contract and the policy seeds, never restated), their judgement (of landed tables in SQL,
of candidates by Great Expectations), the feed checks and the page of Data Docs. Here does not belong what a row has to look like
(``contract``), the tests of rows and keys inside the warehouse (dbt), or when anything runs (``checks``). ``gx`` is the only module that
imports Great Expectations, inside its functions, because the import takes seconds.
"""
