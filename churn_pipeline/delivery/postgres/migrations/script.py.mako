"""${message}."""

from typing import Any

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

_SQL = """
"""


def upgrade() -> None:
    connection: Any = op.get_bind().connection.dbapi_connection
    connection.execute(_SQL)
