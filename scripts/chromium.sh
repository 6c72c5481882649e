#!/usr/bin/env bash
# Says where Chromium is. Where there is none it installs the distribution's own package when that can be done, and says what to do
# when it cannot; no browser is downloaded from anywhere else. CHROMIUM names one that lies elsewhere.
set -euo pipefail

find_chromium() {
  local candidate
  for candidate in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$candidate" 2>/dev/null; then
      return
    fi
  done
  return 1
}

if ! find_chromium; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "chromium: installing the package chromium" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >&2
    find_chromium
  else
    cat >&2 <<'TEXT'
chromium: no Chromium was found; the tests of the weekly report open it in one.
  Debian, Ubuntu   apt install chromium
  macOS            brew install --cask chromium
Or name one: CHROMIUM=/where/chromium make test
TEXT
    exit 2
  fi
fi
