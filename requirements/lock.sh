#!/usr/bin/env bash
# Writes requirements/*.txt from *.in with pip-tools. dev is resolved first and constrains the others, so that all groups agree.
# torch is listed without its local suffix, without hashes and without its CUDA wheels: one lock for CPU and CUDA machines.
set -euo pipefail
cd "$(dirname "$0")"
compile=(pip-compile --quiet --upgrade --no-strip-extras --no-header --no-annotate --no-emit-index-url
  --no-emit-find-links --no-emit-trusted-host --allow-unsafe)

lock() { # group [constraint]
  "${compile[@]}" ${2:+--constraint "$2"} --output-file "$1.new" "$1.in"
  local drop='/^(pip|setuptools|wheel)==/d'
  if grep -q '^torch==' "$1.new"; then drop="$drop; s/^(torch==[0-9.]+)\+[a-z0-9]+/\1/; /^(nvidia-[a-z-]+-cu|triton|cuda-)/d"; fi
  { echo "# Locked by requirements/lock.sh from $1.in"; sed -E "$drop" "$1.new"; } > "$1.txt.tmp"
  rm "$1.new"
  mv "$1.txt.tmp" "$1.txt"
}

lock dev
sed -E 's/\[[a-z,]+\]//; /^torch==/d' dev.txt > shared.constraint   # constraints take no extras; torch is pinned in train.in
for group in serve train balancing export tensorrt batch; do lock "$group" shared.constraint; done
sed -i '/^onnxruntime==/d' shared.constraint
lock serve-gpu shared.constraint
rm shared.constraint
