#!/usr/bin/env sh
# `make fuzz` is guided by coverage if clang has libFuzzer and Python has atheris. This script installs missing ones if
# Debian's package manager or a wheel can; otherwise fuzzing runs without guidance.
set -eu
python=${1:-python3}

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && ! command -v clang >/dev/null; then
  apt-get update -qq
  version=$(apt-cache depends clang | sed -n 's/^ *Depends: clang-\([0-9]*\)$/\1/p')
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    clang "libclang-rt-$version-dev" >/dev/null || echo "clang could not be installed; the C targets run without it"
fi

# Not in requirements.lock: it has wheels only for Linux on x86-64 and few versions of Python.
if ! "$python" -c 'import atheris' 2>/dev/null; then
  "$python" -m pip install --quiet --disable-pip-version-check --only-binary :all: atheris==3.0.0 2>/dev/null ||
    echo "no wheel of atheris for this Python; the Python targets run without it"
fi
