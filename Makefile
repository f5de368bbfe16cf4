# Two commands do everything on a fresh machine with Python 3.11 or later:
#   make serve [PORT=3000 HOST=127.0.0.1]   set up and serve the bundled weights
#   make test                               set up and run every check of `.ci/run` but the long counts
PORT ?= 3000
HOST ?= 127.0.0.1
PYTHON ?= python3
DATA ?= ../shared/data/real
export BENTOML_DO_NOT_TRACK = True

SERVE = .venv-serve/bin/python
DEV = .venv/bin/python

.PHONY: serve test test-full lint train bench system-packages clean

serve: .venv-serve/ready
	$(SERVE) -m service serve --host $(HOST) --port $(PORT)

test: .venv/ready system-packages lint
	$(DEV) -m pytest

test-full: .venv/ready system-packages
	$(DEV) -m pytest -m full

lint: .venv/ready
	$(DEV) -m ruff check .
	$(DEV) -m ruff format --check .
	$(DEV) -m mypy
	.venv/bin/lint-imports

train: .venv/ready
	$(DEV) -m training render perceive_rooms
	$(DEV) -m training run perceive_rooms
	$(DEV) -m training run perceive_rooms_full --start-from artifacts/runs/perceive_rooms
	$(DEV) -m training run stitch_pixel_warp
	$(DEV) -m training run stitch_sigmo_generate

bench: .venv/ready
	$(DEV) -m benchmarks.generator
	$(DEV) -m benchmarks.training
	$(DEV) -m benchmarks.request
	$(DEV) -m benchmarks.serving
	$(DEV) -m benchmarks.batch
	$(DEV) -m benchmarks.export_latency weights/perceive-rooms
	$(DEV) -m benchmarks.export_one_pass weights/perceive-rooms
	$(DEV) -m benchmarks.dense --data $(DATA)
	$(DEV) -m benchmarks.stitch --data $(DATA)

# Chromium draws the web page in one test, Redis is the other queue of jobs. They are the distribution's; without root they
# are left alone and the tests say so.
system-packages:
	@if ! { command -v chromium && command -v redis-server; } >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium redis-server >/dev/null; fi

.venv-serve/ready: requirements/serve.txt
	$(PYTHON) -m venv --clear .venv-serve
	$(SERVE) -m pip install --quiet --disable-pip-version-check -r requirements/serve.txt
	@touch $@

.venv/ready: requirements/dev.txt
	$(PYTHON) -m venv --clear .venv
	$(DEV) -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@touch $@

clean:
	rm -rf .venv .venv-serve .pytest_cache .mypy_cache .ruff_cache
