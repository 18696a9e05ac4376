#!/bin/bash
# Script of the nodes of an EMR cluster. Stored in S3 with each run.
#
#   node.sh install ENVIRONMENT_URI           every node, before Hadoop starts (bootstrap action)
#   node.sh run RUN_URI REGION SECONDS OPTION...          primary node of such a cluster (step)
#   node.sh lend ENVIRONMENT_URI RUN_URI REGION SECONDS OPTION...     primary node of any other
#
# OPTION... are passed to run_experiment.py unchanged. The record is always uploaded to
# RUN_URI/record at the end, and every minute before, in case the node is lost. Nothing runs for
# longer than SECONDS, even if the machine that started the run has been switched off.
set -euo pipefail

home="${SPARKDL_BENCH_HOME:-/mnt/sparkdl-bench}"
environment="$home/environment"
pause="${SPARKDL_BENCH_KEEP_SECONDS:-60}"

own_home() {
  mkdir -p "$home" 2>/dev/null || sudo install -d -o "$(id -un)" "$home"
}

install() {
  own_home
  mkdir -p "$environment"
  aws s3 cp --no-progress "$1" - | tar -xz -C "$environment"
}

# On an existing cluster the other nodes have no environment: Spark sends it to the executors.
lend() {
  local archive="$home/environment.tar.gz"
  own_home
  aws s3 cp --no-progress "$1" "$archive"
  rm -rf "$environment"
  mkdir -p "$environment"
  tar -xzf "$archive" -C "$environment"
  shift
  train "$@" --environment archive --environment-archive "$archive"
}

# Executors must start the launcher bin/python: their containers lack the library path that the
# interpreter behind it needs. By default they would start the interpreter of the driver itself.
run() {
  local own=(--environment image --set "spark.environment_python=$environment/bin/python")
  if names_environment "$@"; then
    own=()
  fi
  train "$@" "${own[@]}"
}

# Succeeds if the user has chosen the Python of the executors.
names_environment() {
  local word
  for word in "$@"; do
    case "$word" in
    --environment | --environment=* | spark.environment=* | --set=spark.environment=*) return 0 ;;
    esac
  done
  return 1
}

# Uploads the current record to S3, with pending records whose MLflow server is unreachable.
upload_record() {
  if [ -n "$(ls -A work/outbox 2>/dev/null)" ]; then
    tar -czf record/outbox.tar.gz -C work outbox
  fi
  aws s3 cp --no-progress --recursive record "$1/record"
}

# On TERM stops the sleep or waits for the upload in progress, which must not overwrite the final
# one. Also ends when this script has been killed.
upload_periodically() {
  trap 'kill "$!" 2>/dev/null; exit 0' TERM
  while kill -0 "$$" 2>/dev/null; do
    sleep "$pause" &
    wait "$!"
    upload_record "$1" >/dev/null 2>&1 || true
  done
}

train() {
  local uri="$1" seconds="$3" status=0 work uploader
  export AWS_REGION="$2" AWS_DEFAULT_REGION="$2"
  shift 3
  work="$(mktemp -d "$home/run.XXXXXX")"
  cd "$work"
  aws s3 cp --no-progress "$uri/code.tar.gz" - | tar -xz
  mkdir record conf
  export HADOOP_CONF_DIR="${HADOOP_CONF_DIR:-/etc/hadoop/conf}"
  export YARN_CONF_DIR="$HADOOP_CONF_DIR" SPARK_CONF_DIR="$work/conf"
  # TensorFlow runs in Python outside the executors' heap. The client of the timeline service needs
  # classes from EMR that are missing in PySpark's Hadoop.
  cat >conf/spark-defaults.conf <<SETTINGS
spark.executor.memoryOverhead 2g
spark.authenticate true
spark.network.crypto.enabled true
spark.hadoop.yarn.timeline-service.enabled false
SETTINGS
  upload_periodically "$uri" &
  uploader=$!
  # TERM lets the runner close its records; KILL follows if it does not exit.
  { timeout --signal=TERM --kill-after=120 "$seconds" \
    "$environment/bin/python" run_experiment.py "$@" >record/records.jsonl; } 2>&1 |
    tee record/console.log || status=$?
  if [ "$status" -eq 124 ]; then
    echo "stopped at the limit of $seconds s (--max-hours)" | tee -a record/console.log
  fi
  kill "$uploader" 2>/dev/null || true
  wait "$uploader" || true
  upload_record "$uri"
  cd "$home"
  rm -rf "$work"
  return "$status"
}

verb="$1"
shift
case "$verb" in
install | run | lend) "$verb" "$@" ;;
*)
  echo "unknown verb $verb" >&2
  exit 2
  ;;
esac
