#!/usr/bin/env bash
# Made by 'skeltools reproduce --slurm': a plan as job arrays.
#
#   bash jobs.sh                          submits everything
#   bash jobs.sh data|run|report [INDEX]  does one task here; INDEX counts from 0
#
# What your cluster asks for goes into these three lists, as options of sbatch.
DATA_OPTIONS=(--cpus-per-task=8 --mem=16G --time=12:00:00)
RUN_OPTIONS=(--gres=gpu:1 --cpus-per-task=8 --mem=32G --time=24:00:00)
REPORT_OPTIONS=(--gres=gpu:1 --cpus-per-task=8 --mem=32G --time=4:00:00)

set -euo pipefail

command=(@COMMAND@)
logs=@LOGS@
data=(
@DATA@
)
runs=(
@RUNS@
)

# A run that is asked to end writes a checkpoint and goes on from there. SLURM puts a preempted task back by itself;
# one whose time is over is put back here.
task() {
  local child status=0
  "${command[@]}" --part "$1" --workers "${SLURM_CPUS_PER_TASK:-2}" &
  child=$!
  trap 'kill -TERM "$child" 2>/dev/null || true' TERM
  wait "$child" || status=$?
  while kill -0 "$child" 2>/dev/null; do
    status=0
    wait "$child" || status=$?
  done
  if ((status == 143)) && [[ -n ${SLURM_ARRAY_JOB_ID:-} ]]; then
    scontrol requeue "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
  fi
  return "$status"
}

# Every task is tried whatever became of the others: it says itself what it lacks.
submit() {
  local script after=() shared
  script=$(realpath "${BASH_SOURCE[0]}")
  mkdir -p "$logs"
  shared=(--parsable --requeue --open-mode=append --signal=B:TERM@120 --output="$logs/%x-%a.log")
  if ((${#data[@]})); then
    after=(--dependency="afterany:$(sbatch "${shared[@]}" "${DATA_OPTIONS[@]}" --job-name=data \
      --array="0-$((${#data[@]} - 1))" "$script" data)")
  fi
  if ((${#runs[@]})); then
    after=(--dependency="afterany:$(sbatch "${shared[@]}" "${RUN_OPTIONS[@]}" --job-name=run "${after[@]}" \
      --array="0-$((${#runs[@]} - 1))" "$script" run)")
  fi
  sbatch "${shared[@]}" "${REPORT_OPTIONS[@]}" --job-name=report "${after[@]}" --array=0-0 "$script" report
}

cd @FOLDER@
index=${2:-${SLURM_ARRAY_TASK_ID:-0}}
case ${1:-submit} in
  submit) submit ;;
  data) task "${data[index]}" ;;
  run) task "${runs[index]}" ;;
  report) task report ;;
  *) echo "Error: '$1' is not one of data, run, report." >&2 && exit 2 ;;
esac
