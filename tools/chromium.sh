#!/usr/bin/env bash
# Make sure that a Chromium is here for the tests that look at pages; say so where none can be had.
# Exit 0 either way: without one those tests are skipped, with their reason.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo 'no Chromium is here, and only root may install it (apt-get install chromium): pages are not looked at'
  exit 0
fi
apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
  apt-get -qq install --yes --no-install-recommends chromium > /dev/null \
  || echo 'Chromium could not be installed: pages are not looked at'
