#!/usr/bin/env bash
# Installs the browser that the tests in tests/web/browser drive, and fonts for the languages they look at.
# Where there is no apt, or no right to use it, those tests are skipped and say so; nothing fails here.
set -u
if command -v chromium >/dev/null 2>&1 && fc-list 2>/dev/null | grep -q "Noto Sans CJK"; then
  exit 0
fi
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
  echo "chromium is missing and cannot be installed here: the browser tests will be skipped"
  exit 0
fi
echo "installing chromium and fonts for the browser tests (once; about 400 MB)"
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fontconfig fonts-noto-core fonts-noto-cjk; } \
  >/dev/null 2>&1 || echo "chromium could not be installed: the browser tests will be skipped"
exit 0
