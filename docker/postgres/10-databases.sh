#!/usr/bin/env bash
# Creates the three databases and their logins, and gives the logins the passwords of the environment. PostgreSQL's image runs it on an
# empty volume; it may be run again at any time, which is how a password is changed (docs/operations.md).
set -euo pipefail

# Passwords are read by psql itself: on a command line they would show in the list of processes.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv superuser POSTGRES_USER
\getenv superuser_password POSTGRES_PASSWORD
\getenv dagster_password DAGSTER_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
\getenv churn_password CHURN_DB_PASSWORD
\getenv reader_password CHURN_READER_PASSWORD

select format('create role %I login', name)
from unnest(array['dagster', 'mlflow', 'churn', 'churn_reader']) as name
where not exists (select from pg_roles where rolname = name)
\gexec

alter role :"superuser" password :'superuser_password';
alter role dagster password :'dagster_password';
alter role mlflow password :'mlflow_password';
alter role churn password :'churn_password';
alter role churn_reader password :'reader_password';
alter role churn_reader set default_transaction_read_only = on;

select format('create database %I owner %I', name, owner)
from (values ('dagster', 'dagster'), ('mlflow', 'mlflow'), ('predictions', 'churn')) as wanted (name, owner)
where not exists (select from pg_database where datname = name)
\gexec

-- By default every login may open every database.
revoke connect, temporary on database dagster, mlflow, predictions from public;
grant connect on database predictions to churn_reader;
SQL
