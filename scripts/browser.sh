#!/bin/sh
# Prints the path of a Chromium for the browser tests; installs it where it may, else says clearly what to do.
set -eu
find_browser() {
  for candidate in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$candidate" ] && command -v "$candidate"; then return 0; fi
  done
  return 1
}
find_browser && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing Chromium for the browser tests (apt-get install chromium) ..." >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } >/dev/null </dev/null
  find_browser && exit 0
fi
echo "The browser tests need Chromium. Install it (Debian, Ubuntu: sudo apt-get install chromium)," >&2
echo "or set CHROMIUM to the path of a Chromium or Chrome program." >&2
exit 1
