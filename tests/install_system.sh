#!/usr/bin/env bash
# Installs what tests need from the system: a PostgreSQL server, fonts for rendered pictures, and the browser.
# Where there is no apt, or no right to use it, the tests that need them are skipped and say so; nothing fails here.
set -u
here=$(dirname "$0")
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || ! fc-list 2>/dev/null | grep -q "DejaVu"; then
  if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "installing a PostgreSQL server and fonts for the tests (once)"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql fontconfig fonts-dejavu-core fonts-noto-cjk; } \
      >/dev/null 2>&1 || echo "PostgreSQL or fonts could not be installed: their tests will be skipped"
  else
    echo "PostgreSQL or fonts are missing and cannot be installed here: their tests will be skipped"
  fi
fi
bash "$here/install_browser.sh"
exit 0
