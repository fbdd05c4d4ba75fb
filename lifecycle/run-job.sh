#!/bin/bash
# Purpose: run `gan-lib run` with the given arguments in a SageMaker training job, in AWS's PyTorch container.
# Called by the job's entry point, from the project's unpacked folder.
#
# The container has PyTorch and little else: what is missing comes from this project's lock, PyTorch itself stays as it is.
# Results and checkpoints lie in /opt/ml/checkpoints, which SageMaker copies to the bucket as they are written and puts
# back when the job is started again: the same command then resumes from there.
set -euo pipefail

# Knobs.
PYTHON="${PYTHON:-python3}"

ROOT="${GAN_LIB_ROOT:-}"  # empty in a job; the tests put a sandbox folder here
RESULTS="$ROOT/opt/ml/checkpoints"
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
  mkdir -p "$ROOT/opt/ml/output"
  printf 'gan-lib: %s\n' "$*" | tee "$ROOT/opt/ml/output/failure" >&2  # shown as the job's failure reason
  exit 1
}

pip_install() { "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input --retries 10 --no-deps "$@"; }

"$PYTHON" -c 'import torch, torchvision' ||
  fail "the container has no PyTorch and torchvision: name another one with --image"
REQUIREMENTS="$(mktemp)"
grep -Ev '^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)(\[[a-z,]*\])?==' requirements.lock >"$REQUIREMENTS"
pip_install --requirement "$REQUIREMENTS" || fail "pip could not install the locked packages"
pip_install --editable . || fail "pip could not install the project"
rm -f "$REQUIREMENTS"
mkdir -p "$RESULTS"
# in this process's place: the stop signal that comes before a job is ended reaches the training itself
exec "$PYTHON" -m gan_lib run "$@" --results-dir "$RESULTS"
