#!/usr/bin/env sh
# The tests drive curl and npm, clients of users, and the console in Chromium; they put a node behind NAT with ip and nft,
# and compile Envoy's module. This script installs missing tools if Debian's package manager may; otherwise the tests that
# need them fail and name the command to run.
set -eu
missing=""
command -v curl >/dev/null || missing="$missing curl"
command -v npm >/dev/null || missing="$missing nodejs npm"
command -v ip >/dev/null || missing="$missing iproute2"
command -v nft >/dev/null || missing="$missing nftables"
command -v chromium >/dev/null || missing="$missing chromium fonts-noto-core"
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v "${CC:-cc}" >/dev/null || missing="$missing gcc libc6-dev"
[ -z "$missing" ] && exit 0
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || exit 0
apt-get update -qq
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
