#!/usr/bin/env bash
# Writes .env for docker compose: .env.example with a random password in every place of change-me. Touches no .env that is there.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -e .env ]; then
  echo "env: .env is there already and stays as it is" >&2
  exit 0
fi
umask 077
while IFS= read -r line || [ -n "$line" ]; do
  if [[ $line == *=change-me ]]; then
    line="${line%change-me}$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
  fi
  printf '%s\n' "$line"
done < .env.example > .env.new
mv .env.new .env
echo "env: .env written, with new passwords"
