"""What kind of model is behind a probability."""

from typing import Any

from alembic import op

revision = "0004"
down_revision = "0003"

_COLUMNS = """
alter table churn.predictions
    add column churn_30d_model_kind text,
    add column churn_90d_model_kind text,
    add column expansion_model_kind text;
alter table churn.publications
    add column churn_30d_model_kind text,
    add column churn_90d_model_kind text,
    add column expansion_model_kind text;
alter table churn.prediction_outcomes add column model_kind text;
comment on column churn.prediction_outcomes.model_kind is 'What the model is that made the prediction. Null where that was not kept.';
"""


def upgrade() -> None:
    # Those of targets get their comments, and their place in the view, from the declaration of the targets.
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.execute(_COLUMNS)
