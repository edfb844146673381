#!/usr/bin/env bash
# What a GPU makes of skeltools, in six minutes at most:  bash benchmarks/gpu.sh [FOLDER]
#
# FOLDER (gpu-report unless given) gets report.json, table.md and log.txt. Nothing is installed, and nothing is
# fetched: needed are python3 with torch, numpy, h5py, click, rich, scikit-learn and, for the tests, pytest and
# hypothesis. A part that fails or outlasts its limit is said, and the others go on. The tests run while the networks
# compile, which takes two minutes of processor time and none of the card's; nothing is timed until both are through.
# Variables:
#   DEVICE=cuda WIDTH=64 BATCH=128 ROUNDS=5 MAMP_BATCH=64             what is measured
#   CLIPS=4000 FEATURES=4000                          in the file, and whose features are taken in every round; those of
#                                                     all clips are taken once more where there are more: CLIPS=57000
#   LIMIT=360                                         when all ends: a part that no time is left for is left out, and said
#   VARIANTS, PROFILE, MAMP_VARIANTS                  of pretrain.py and mamp.py, separated by commas; PROFILE= for none
#   PARTS="tests pretrain mamp around parts"          which parts; there is also compiled: the engine with train.compile
#   PYTHON=python3 WORKERS=4 COMPILE=1                (COMPILE=0 leaves out what compiles; WORKERS of the tests)
# A trial on a CPU:  DEVICE=cpu WIDTH=4 BATCH=4 ROUNDS=1 MAMP_BATCH=2 CLIPS=40 COMPILE=0 bash benchmarks/gpu.sh
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
out=${1:-gpu-report}
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
scratch=$(mktemp -d)
cd "$scratch" || exit 2 # not the checkout, whose skeltools/ lacks cli and protocols
trap 'cd / && rm -rf "$scratch"' EXIT
python=${PYTHON:-python3} device=${DEVICE:-cuda} width=${WIDTH:-64} batch=${BATCH:-128} rounds=${ROUNDS:-5}
mamp_batch=${MAMP_BATCH:-64} clips=${CLIPS:-4000} features=${FEATURES:-4000} workers=${WORKERS:-4} compile=${COMPILE:-1}
parts=${PARTS:-tests pretrain mamp around parts} whole=${LIMIT:-360}
if [ "$compile" = 1 ]; then
  variants=${VARIANTS:-plain+bf16,float32,bf16,bf16+graph,bf16+compile,bf16+compile+graph}
  profile=${PROFILE-bf16,bf16+compile}
  mamp_variants=${MAMP_VARIANTS:-plain+bf16,float32,bf16,bf16+compile}
else
  variants=${VARIANTS:-plain+bf16,float32,bf16,bf16+graph}
  profile=${PROFILE-bf16}
  mamp_variants=${MAMP_VARIANTS:-plain+bf16,float32,bf16}
fi
size=released profiled=()
[ "$device" = cpu ] && size=small profile= && export SKELTOOLS_TEST_DEVICE=cpu
[ -n "$profile" ] && profiled=(--profile "$profile")
exec > >(tee "$out/log.txt") 2>&1

# The package as pip would put it, without pip.
mkdir -p "$scratch/site/skeltools"
ln -s "$root"/skeltools/* "$scratch/site/skeltools/"
ln -s "$root/cli" "$scratch/site/skeltools/cli"
ln -s "$root/protocols" "$scratch/site/skeltools/protocols"
export PYTHONPATH="$scratch/site${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
export TORCHINDUCTOR_CACHE_DIR="$scratch/inductor" TRITON_CACHE_DIR="$scratch/triton"
export TORCHINDUCTOR_COMPILE_THREADS=4 # in each of the processes that compile side by side

asked() { # NAME: whether this part shall run
  case " $parts " in *" ${1%-all} "*) return 0 ;; *) return 1 ;; esac
}

part() { # NAME SECONDS COMMAND...: run it within its time and that of the whole, and say how long it took
  local name=$1 limit=$2 began=$SECONDS status left=$((whole - 10 - SECONDS))
  shift 2
  asked "$name" || return 0
  echo "== $name"
  [ $left -lt "$limit" ] && limit=$left
  if [ "$limit" -ge 10 ]; then
    timeout -k 5 "$limit" "$@"
    status=$?
  else
    echo "$name: left out, no time was left"
    status=125
  fi
  [ $status = 124 ] && echo "$name: not done after $limit s"
  echo "{\"part\": \"$name\", \"status\": $status, \"seconds\": $((SECONDS - began))}" >>"$scratch/parts.jsonl"
  echo "== $name: status $status, $((SECONDS - began)) s"
}

command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
"$python" - "$scratch/machine.json" "$root" <<'PYTHON' || exit 1
import importlib.util, json, os, platform, subprocess, sys
import torch
import skeltools

def version(name):
    return getattr(__import__(name), "__version__", "?") if importlib.util.find_spec(name) else None

def ask(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=20).stdout.strip() or None
    except OSError:
        return None

told = {
    "card": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    "memory_mib": torch.cuda.get_device_properties(0).total_memory // 2**20 if torch.cuda.is_available() else None,
    "driver": ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
    "cpus": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "cudnn": torch.backends.cudnn.version(),
    "commit": ask("git", "-C", sys.argv[2], "rev-parse", "HEAD"), "skeltools": skeltools.__version__,
} | {name: version(name) for name in ("triton", "numpy", "h5py", "numba", "pytest", "xdist")}
print(json.dumps(told))
open(sys.argv[1], "w").write(json.dumps(told))
PYTHON

# Meanwhile: clips; the tests; and MAMP's networks, which are compiled and then wait for their turn.
"$python" "$root/benchmarks/around.py" "$scratch/data" --clips "$clips" --only-data >"$scratch/data.log" 2>&1 &
made=$!
xdist=()
"$python" -c 'import xdist' 2>/dev/null && xdist=(-n "$workers")
part tests 150 env OMP_NUM_THREADS=1 "$python" -m pytest "$root/tests/test_gpu.py" -c "$root/pyproject.toml" \
  --rootdir "$root" -q -p no:cacheprovider "${xdist[@]}" --durations=8 >"$scratch/tests.log" 2>&1 &
tested=$!
mamp=
if asked mamp; then
  OMP_NUM_THREADS=2 timeout -k 5 300 "$python" "$root/benchmarks/mamp.py" --device "$device" --size $size --batch "$mamp_batch" \
    --rounds "$rounds" --variants "$mamp_variants" --json "$scratch/mamp.json" --wait "$scratch/go" \
    >"$scratch/mamp.log" 2>&1 &
  mamp=$!
fi
( # the card is quiet when the tests are over and MAMP is compiled, or failed to
  tail --pid=$tested -f /dev/null
  while [ -n "$mamp" ] && [ ! -e "$scratch/go.ready" ] && kill -0 "$mamp" 2>/dev/null; do sleep 0.2; done
  touch "$scratch/quiet"
) &

# By the times on one H100: 125 s until all is compiled, 30 s of profiles, 9 s a round.
part pretrain 240 "$python" "$root/benchmarks/pretrain.py" --device "$device" --width "$width" --batch "$batch" \
  --rounds "$rounds" --variants "$variants" "${profiled[@]}" --threads 2 --seconds 190 --wait "$scratch/quiet" \
  --json "$scratch/pretrain.json"
tail --pid=$tested -f /dev/null
asked tests && cat "$scratch/tests.log"
touch "$scratch/go"
part mamp 60 bash -c "tail --pid=${mamp:-1} -f /dev/null; cat '$scratch/mamp.log'; [ -s '$scratch/mamp.json' ]"
[ -n "$mamp" ] && kill "$mamp" 2>/dev/null
wait "$made" || { echo "the clips could not be made:"; cat "$scratch/data.log"; }
part around 150 "$python" "$root/benchmarks/around.py" "$scratch/data" --clips "$clips" --device "$device" --width "$width" \
  --batch "$batch" --rounds "$rounds" --features "$features" --json "$scratch/around.json"
[ "$clips" -gt "$features" ] && part around-all 60 "$python" "$root/benchmarks/around.py" "$scratch/data" --clips "$clips" \
  --only features --features "$clips" --rounds 1 --device "$device" --width "$width" --batch "$batch" \
  --json "$scratch/around-all.json"
[ "$compile" = 1 ] && part compiled 90 "$python" "$root/benchmarks/around.py" "$scratch/data" --clips "$clips" --only feeds \
  --device "$device" --width "$width" --batch "$batch" --rounds 1 --workers --set train.compile=true \
  --json "$scratch/compiled.json"
part parts 45 "$python" "$root/benchmarks/parts.py" --device "$device" --batch "$batch" --no-compile --json "$scratch/parts.json"

"$python" - "$scratch" "$out" $SECONDS <<'PYTHON'
import json, sys
from pathlib import Path

scratch, out = map(Path, sys.argv[1:3])
report = {"seconds": int(sys.argv[3])}
for name in ("machine", "pretrain", "mamp", "around", "around-all", "compiled", "parts"):
    path = scratch / f"{name}.json"
    report[name] = json.loads(path.read_text()) if path.exists() else None
path = scratch / "parts.jsonl"
report["status"] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
(out / "report.json").write_text(json.dumps(report, indent=1) + "\n")
lines = ["| " + " | ".join(f"{k} {v}" for k, v in report["machine"].items() if v) + " |", ""]
for name in ("pretrain", "mamp"):
    if report[name]:
        lines += [f"{name}, batch {report[name]['batch']}", "", "| variant | ms per step | clips/s | peak MiB |"]
        lines += ["| --- | ---: | ---: | ---: |"]
        lines += [
            f"| {r['variant']} | {r['step_ms']:.1f} | {r['clips_per_second']:.0f} | {r['peak_mib'] or 0:.0f} |"
            for r in report[name]["rows"]
        ]
        lines += [""]
for r in (report["pretrain"] or {"rows": []})["rows"]:
    if r.get("profile"):
        lines += [f"kernels of {r['variant']}: {r['profile']['busy_ms']:.1f} ms", "", "| kind | ms | kernels |"]
        lines += ["| --- | ---: | ---: |"]
        kinds = sorted(r["profile"]["kinds"].items(), key=lambda item: -item[1]["ms"])
        lines += [f"| {kind} | {v['ms']:.2f} | {v['kernels']:.0f} |" for kind, v in kinds] + [""]
for name in ("around", "around-all", "compiled"):
    if report[name]:
        lines += ["| what | ms | clips/s | peak MiB |", "| --- | ---: | ---: | ---: |"]
        for r in report[name]["rows"]:
            cells = [r["what"], f"{r['ms']:.2f}", f"{r['clips_per_second']:.0f}", f"{r['peak_mib'] or 0:.0f}"]
            lines += [f"| {' | '.join(cells)} |"]
        lines += [""]
lines += [f"{r['part']}: status {r['status']}, {r['seconds']} s" for r in report["status"]]
lines += [f"all: {report['seconds']} s"]
(out / "table.md").write_text("\n".join(lines) + "\n")
print("\n".join(lines))
PYTHON
echo "in $out: report.json, table.md, log.txt"
