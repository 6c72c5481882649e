"""What Alembic runs for every command. The connection, its transaction and its lock come from ``migrate``."""

from alembic import context

from churn_pipeline.delivery.postgres.connection import SCHEMA
from churn_pipeline.delivery.postgres.migrate import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, version_table_schema=SCHEMA
)
context.run_migrations()
