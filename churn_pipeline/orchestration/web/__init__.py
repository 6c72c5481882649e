"""Dagster's own web server behind a guard: any web page could drive it otherwise.

:mod:`guard` decides which request reaches it and knows nothing of Dagster, :mod:`sessions` who is let in, :mod:`server` puts both around
Dagster's application: on this machine for ``churn ui``, and in the stack (``python -m churn_pipeline.orchestration.web``).
"""
