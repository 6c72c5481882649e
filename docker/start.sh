#!/bin/sh
# Starts a service of the stack, unless a secret of it is missing or still the one of .env.example, which everybody knows.
#   start.sh NAME[=VARIABLE] ... -- COMMAND ...
# NAME is what .env calls it, VARIABLE what the service does, where that is another word. No value is ever shown.
set -eu
known=
while [ "$1" != -- ]; do
  name=${1%%=*}
  value=$(printenv "${1#*=}" || true)
  if [ -z "$value" ] || printf '%s' "$value" | grep -qi 'change[-_ ]\{0,1\}me'; then
    known="$known $name"
  fi
  shift
done
shift
if [ -n "$known" ]; then
  for name in $known; do
    echo "$name in .env is empty or still change-me, which everybody knows." >&2
  done
  echo "'make env' writes a new secret in every such place, and leaves the others; then 'docker compose up -d'." >&2
  exit 78
fi
exec "$@"
