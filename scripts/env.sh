#!/usr/bin/env bash
# Writes .env for docker compose, or mends the one that is there: a random secret in every place of change-me. Leaves every other value alone.
set -euo pipefail
cd "$(dirname "$0")/.."
source=.env
[ -e .env ] || source=.env.example
umask 077
written=()
while IFS= read -r line || [ -n "$line" ]; do
  if [[ $line =~ ^([A-Za-z_][A-Za-z0-9_]*)=change-me$ ]]; then
    written+=("${BASH_REMATCH[1]}")
    line="${BASH_REMATCH[1]}=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
  fi
  printf '%s\n' "$line"
done < "$source" > .env.new
if [ "$source" = .env ] && [ ${#written[@]} -eq 0 ]; then
  rm .env.new
  echo "env: no change-me in .env; it stays as it is" >&2
  exit 0
fi
mv .env.new .env
echo "env: a new secret in .env for ${written[*]}"
