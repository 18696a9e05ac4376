#!/usr/bin/env bash
# Build Caffe and run the tests that need it, which CI skips because it does not build Caffe.
#
# Usage: bash deploy/caffe/nightly.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.uv/bin:$PATH"

uv sync --quiet
bash deploy/caffe/build.sh
# Without this line, a build that cannot be imported would skip the tests instead of failing.
GLOG_minloglevel=2 .venv/bin/python -c 'import caffe'
.venv/bin/python -m pytest -n 0 -m 'long or not long' \
    tests/backends/test_caffe_network.py tests/backends/test_caffe_engine.py \
    tests/backends/test_caffe_on_spark.py
