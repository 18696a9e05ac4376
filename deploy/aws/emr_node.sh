#!/bin/bash
# What the nodes of an EMR cluster do. Stored in S3 beside each run.
#
#   emr_node.sh install ENVIRONMENT_URI           every node, before Hadoop starts (bootstrap action)
#   emr_node.sh run RUN_URI REGION SECONDS OPTION...          primary node of such a cluster (step)
#   emr_node.sh lend ENVIRONMENT_URI RUN_URI REGION SECONDS OPTION...     primary node of any other
#
# OPTION... go to run_experiment.py as they are. Whatever happens, what was recorded is in
# RUN_URI/record afterwards and, of a node that was taken away, what was recorded until a minute
# before. Nothing runs for longer than SECONDS: this holds when the machine that asked for the run
# has been switched off.
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

# The other nodes have no environment: Spark sends it to the executors.
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

# Executors start the launcher: their containers know nothing of the folders of libraries that the
# interpreter behind it needs, and this process's own interpreter is that one.
run() {
  local own=(--environment image --set "spark.environment_python=$environment/bin/python")
  if names_environment "$@"; then
    own=()
  fi
  train "$@" "${own[@]}"
}

# Whether the user has said which Python executors start.
names_environment() {
  local word
  for word in "$@"; do
    case "$word" in
    --environment | --environment=* | spark.environment=* | --set=spark.environment=*) return 0 ;;
    esac
  done
  return 1
}

# Puts the record as it is into S3, with records that wait because their MLflow server is away.
keep() {
  if [ -n "$(ls -A work/outbox 2>/dev/null)" ]; then
    tar -czf record/outbox.tar.gz -C work outbox
  fi
  aws s3 cp --no-progress --recursive record "$1/record"
}

# A copy that is under way is finished first: it must not overwrite the last one. Ends with this
# script too when it is killed.
keep_now_and_then() {
  trap 'kill "$!" 2>/dev/null; exit 0' TERM
  while kill -0 "$$" 2>/dev/null; do
    sleep "$pause" &
    wait "$!"
    keep "$1" >/dev/null 2>&1 || true
  done
}

train() {
  local uri="$1" seconds="$3" status=0 work keeper
  export AWS_REGION="$2" AWS_DEFAULT_REGION="$2"
  shift 3
  work="$(mktemp -d "$home/run.XXXXXX")"
  cd "$work"
  aws s3 cp --no-progress "$uri/code.tar.gz" - | tar -xz
  mkdir record conf
  export HADOOP_CONF_DIR="${HADOOP_CONF_DIR:-/etc/hadoop/conf}"
  export YARN_CONF_DIR="$HADOOP_CONF_DIR" SPARK_CONF_DIR="$work/conf"
  # TensorFlow lives in Python beside the executors' heap. The timeline service's client needs
  # classes of EMR's that PySpark's own Hadoop lacks.
  cat >conf/spark-defaults.conf <<SETTINGS
spark.executor.memoryOverhead 2g
spark.authenticate true
spark.network.crypto.enabled true
spark.hadoop.yarn.timeline-service.enabled false
SETTINGS
  keep_now_and_then "$uri" &
  keeper=$!
  # TERM lets the runner close its records; KILL follows if it does not.
  { timeout --signal=TERM --kill-after=120 "$seconds" \
    "$environment/bin/python" run_experiment.py "$@" >record/records.jsonl; } 2>&1 |
    tee record/console.log || status=$?
  if [ "$status" -eq 124 ]; then
    echo "ended at the limit of $seconds s (--max-hours)" | tee -a record/console.log
  fi
  kill "$keeper" 2>/dev/null || true
  wait "$keeper" || true
  keep "$uri"
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
