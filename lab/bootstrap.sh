#!/bin/sh
# Makes the virtual environment FOLDER from the file REQUIREMENTS, which has the hash of every package,
# on a machine that may have no Python yet: usage: bootstrap.sh FOLDER REQUIREMENTS
set -eu
folder=$1 requirements=$2

usable() {
    python3 -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if ! usable; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Python 3.11 with venv is missing: install the packages python3 and python3-venv" >&2
        exit 1
    fi
    echo "==> install python3-venv"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
    usable || { echo "python3 is older than 3.11; Gatehouse needs Debian 12 or newer" >&2; exit 1; }
fi

echo "==> install the Python packages of $requirements into $folder"
python3 -m venv "$folder"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
