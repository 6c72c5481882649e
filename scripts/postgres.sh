#!/usr/bin/env bash
# Prints the folder of a PostgreSQL server's programs, for the tests, which start a cluster of their own on a loopback port. Installs
# Debian's package where there is none and this is root; the server on the standard port that the package sets up is not used.
set -euo pipefail

find_server() {
  local folder
  # The newest version first; a PATH that has them all wins nothing over Debian's own folder.
  for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -Vr) ${PATH//:/ }; do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && [ -x "$folder/pg_ctl" ]; then
      echo "$folder"
      return
    fi
  done
  return 1
}

if find_server; then
  exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "postgres: installing Debian's package postgresql" >&2
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends postgresql >&2
  if find_server; then
    exit 0
  fi
fi
cat >&2 <<'TEXT'
postgres: no PostgreSQL server (initdb, postgres, pg_ctl) was found, and some tests need a real one.
  Debian, Ubuntu   sudo apt-get install postgresql
  macOS            brew install postgresql
Where it lies elsewhere, put its bin folder into PATH.
TEXT
exit 2
