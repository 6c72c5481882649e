"""Training, calibration, evaluation, promotion and registration of the models, without Dagster.

What belongs here: the mathematics, and the rules about which rows a model may see. What does not: how a feature is computed (dbt), what a
probability means for a customer (policy seeds), when anything runs (Dagster). Only ``registry`` and what it writes (``package``,
``served``) touch MLflow.
"""
