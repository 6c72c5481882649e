#!/usr/bin/env bash
# Creates the three databases and their logins, gives the logins the passwords of the environment, and prepares the database for
# dashboards as its administrator. PostgreSQL's image runs it on an empty volume; it may be run again at any time, which is how a password
# is changed, and how a volume of an older version is brought up to date (docs/operations.md).
set -euo pipefail

# Beside this script in the repository; mounted elsewhere in the container, because the image runs every .sql that lies beside it.
administrator=/opt/churn/administrator.sql
if [ ! -f "$administrator" ]; then
  administrator="$(dirname "${BASH_SOURCE[0]}")/../../churn_pipeline/delivery/postgres/administrator.sql"
fi

as_administrator() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" "$@"
}

# Passwords are read by psql itself: on a command line they would show in the list of processes.
as_administrator --dbname postgres <<'SQL'
\getenv superuser POSTGRES_USER
\getenv superuser_password POSTGRES_PASSWORD
\getenv dagster_password DAGSTER_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv churn_password CHURN_DB_PASSWORD
\getenv reader_password CHURN_READER_PASSWORD

-- What is logged of a statement that fails, or of all of them where the server says so, would have the passwords in it.
set log_statement = 'none';
set log_min_error_statement = 'panic';

select format('create role %I login', name)
from unnest(array['dagster', 'mlflow', 'churn', 'churn_reader']) as name
where not exists (select from pg_roles where rolname = name)
\gexec

alter role :"superuser" password :'superuser_password';
alter role dagster login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'dagster_password';
alter role mlflow login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'mlflow_password';
alter role churn login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'churn_password';
alter role churn_reader login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password :'reader_password';
alter role churn_reader set default_transaction_read_only = on;

-- The databases belong to the administrator: who owns one could let others in, or take it away.
select format('create database %I', name)
from unnest(array['dagster', 'mlflow', 'predictions']) as name
where not exists (select from pg_database where datname = name)
\gexec
select format('alter database %I owner to %I', datname, :'superuser')
from pg_database
where datname in ('dagster', 'mlflow', 'predictions') and datdba <> (select oid from pg_roles where rolname = :'superuser')
\gexec

-- By default every login may open every database, those that come with the server among them.
revoke connect, temporary on database dagster, mlflow, predictions, postgres, template1 from public;
revoke create, temporary on database dagster from dagster;
revoke create, temporary on database mlflow from mlflow;
grant connect on database dagster to dagster;
grant connect on database mlflow to mlflow;
SQL

# Dagster and MLflow make tables of their own, in schema public of a database of their own.
for name in dagster mlflow; do
  as_administrator --dbname "$name" --set name="$name" <<'SQL'
revoke all on schema public from public;
grant usage, create on schema public to :"name";
SQL
done

as_administrator --dbname predictions --set publisher=churn --file "$administrator"
