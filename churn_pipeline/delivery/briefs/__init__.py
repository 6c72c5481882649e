"""Expansion briefs that a Monday run prepared, as files: a document for programs and a page for people.

What a brief says is decided in :mod:`churn_pipeline.customers.briefs`; here lies what was written. `store` knows where the files are and
what is in them, `page` makes the page of a document.
"""
