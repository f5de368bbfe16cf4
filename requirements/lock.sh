#!/usr/bin/env bash
# Writes requirements/*.txt from *.in. dev is resolved first and constrains the others, so that every group agrees.
# torch is listed without its local suffix, without hashes and without its CUDA wheels: one lock for CPU and CUDA machines.
set -euo pipefail
cd "$(dirname "$0")"
compile=(pip-compile --quiet --upgrade --strip-extras --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --allow-unsafe)

lock() { # group [constraint]
  "${compile[@]}" ${2:+--constraint "$2"} --output-file "$1.txt.new" "$1.in"
  { echo "# Locked by requirements/lock.sh from $1.in"; sed -E 's/^(torch==[0-9.]+)\+[a-z0-9]+/\1/; /^(pip|setuptools|wheel|nvidia-|triton|cuda-)/{/^nvidia-ml-py/!d}' "$1.txt.new"; } > "$1.txt.tmp"
  rm "$1.txt.new"
  mv "$1.txt.tmp" "$1.txt"
}

lock dev
for group in serve train export; do lock "$group" dev.txt; done
grep -v '^onnxruntime==' dev.txt > .constraint && lock serve-gpu .constraint && rm .constraint
