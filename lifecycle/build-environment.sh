#!/bin/bash
# Purpose: build the project's conda environment on the notebook volume, with the PyTorch build that fits the driver.
# Called by setup.sh, as ec2-user; by hand it works too:  bash build-environment.sh [--quick]
#   --quick   only look: exit 0 when the finished environment fits project and driver, 1 when it must be built
#
# Each build gets a folder of its own, named by a hash of what it was built from, and counts only when its stamp
# (.ready, written last) is there. `envs/gan-lib` is a link to the newest finished one. So an interrupted build leaves
# nothing that could be taken for an environment, and a failed update leaves the old one in use.
set -euo pipefail

# Knobs.
export PIP_INDEX_URL="${PYTHON_INDEX_URL:-}"    # of all packages but PyTorch; empty: pip's own
TORCH_INDEX_URL="${TORCH_INDEX_URL:-https://download.pytorch.org/whl}"  # where PyTorch publishes its other builds
CUDA12_BUILDS="${CUDA12_BUILDS:-cu126 cu128}"   # tried in this order for drivers from 525 up to 579
STEP_SECONDS="${STEP_SECONDS:-2400}"            # a step that hangs longer is ended, so that it cannot hold the lock
RETRY_DELAYS="${RETRY_DELAYS:-10 60 180}"       # seconds between attempts

ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests put a sandbox folder here
ENVS_DIR="$ROOT/home/ec2-user/SageMaker/envs"
PROJECT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CONDA="$ROOT/home/ec2-user/anaconda3/bin/conda"
export PYTHONNOUSERSITE=1  # packages in the home folder are gone after a stop: they must not satisfy anything here
unset PYTHONPATH PIP_EXTRA_INDEX_URL

say() { printf 'gan-lib: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

retry() {
  local delay
  for delay in $RETRY_DELAYS 0; do if "$@"; then return 0; fi; sleep "$delay"; done
  return 1
}

driver_version() {  # prints nothing where there is no usable NVIDIA driver
  local delay answer
  command -v nvidia-smi >/dev/null || return 0
  for delay in ${RETRY_DELAYS%% *} ${RETRY_DELAYS%% *} 0; do
    # on a machine without a GPU nvidia-smi may exist and print an apology: only a number counts
    answer="$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null || true)"
    if [[ "$answer" =~ ^[0-9]+\.[0-9.]+ ]]; then echo "${BASH_REMATCH[0]}"; return 0; fi
    # right after boot the driver may still be loading; wait for it only where there is an NVIDIA device
    grep -qs 0x10de "$ROOT"/sys/bus/pci/devices/*/vendor || return 0
    sleep "$delay"
  done
}

# Sets WANTED (cpu, cuda12 or default) and WHY. The default, CUDA 13, needs driver 580, CUDA 12 needs 525. PyTorch 2.15 is
# the last version with CUDA 12 builds: when the lock goes beyond it, drivers before 580 get the CPU build.
choose_torch() {
  local driver
  driver="$(driver_version)"
  WANTED=cpu WHY="NVIDIA driver $driver"
  if [[ -z "$driver" ]]; then
    WHY="no NVIDIA driver answers"
  elif ((${driver%%.*} < 525)); then
    WHY+=" is too old for any CUDA build (525 or newer is needed), so the GPU is not used"
  else
    WANTED=default
    ((${driver%%.*} >= 580)) || WANTED=cuda12
  fi
}

pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" "$PROJECT_DIR/requirements.lock" | head -n 1; }

published_cuda12() {  # prints the first CUDA 12 build that there is for the pinned version and this Python, or nothing
  local build page python
  python="$(sed -n 's/.*python=\([0-9]*\)\.\([0-9]*\).*/cp\1\2/p' "$PROJECT_DIR/environment.yml" | head -n 1)"
  for build in $CUDA12_BUILDS; do
    # a listing that cannot be read is no answer: the caller fails, and the next start tries again
    page="$(retry curl -sSfL --max-time 60 "$TORCH_INDEX_URL/$build/torch/")" || return 1
    # the listing writes the plus sign of a local version as %2B
    if grep -Eq "torch-$(pinned torch)(%2B|\+)$build-$python-[^\"<]*x86_64" <<<"$page"; then echo "$build"; return 0; fi
  done
}

free_gigabytes() { df -Pk "$ENVS_DIR" | awk 'NR == 2 { print int($4 / 1048576) }'; }

step() {  # step SENTENCE COMMAND: tried again; the sentence says what could not be done
  if retry "${@:2}"; then return 0; fi
  (($(free_gigabytes) >= 1)) || fail "$1: the volume is full, delete files or enlarge it"
  fail "$1; the log says more"
}

create_conda() {
  rm -rf "$PREFIX"  # what a failed attempt left would make the next one fail
  timeout "$STEP_SECONDS" "$CONDA" env create --quiet --prefix "$PREFIX" --file "$WORK/environment.yml"
}

pip_install() {
  timeout "$STEP_SECONDS" "$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

build() {
  local torch_build="$WANTED" needed=5 old lock="$PROJECT_DIR/requirements.lock"
  [[ -x "$CONDA" ]] || fail "conda is not at $CONDA, where the platform notebook-al2023-v1 has it"
  for old in "$ENVS_DIR"/.gan-lib-*; do  # interrupted builds go before the space is counted
    [[ -f "$old/.ready" ]] || rm -rf "$old"
  done
  [[ "$WANTED" == cpu ]] || needed=14
  (($(free_gigabytes) >= needed)) ||
    fail "the volume is full: $(free_gigabytes) GB free, a build needs $needed; delete files or enlarge the volume"
  if [[ "$WANTED" == cuda12 ]]; then
    torch_build="$(published_cuda12)" || fail "PyTorch's list of builds at $TORCH_INDEX_URL could not be read"
    [[ -n "$torch_build" ]] ||
      WHY+=", for which PyTorch $(pinned torch) has no build (this version needs 580 or newer), so the GPU is not used"
    torch_build="${torch_build:-cpu}"
  fi
  say "building with PyTorch $(pinned torch), build $torch_build ($WHY)"

  WORK="$(mktemp -d)"
  trap 'rm -rf "$WORK"; [[ -f "$PREFIX/.ready" ]] || rm -rf "$PREFIX"' EXIT  # half a build does not keep the disk full
  # pip's part of environment.yml follows in steps of its own, to choose the build and to try again
  awk '/^ *- *pip:/ { skipping = 1; indent = match($0, /-/); next }
       skipping && match($0, /[^ ]/) > indent { next }
       { skipping = 0; print }' "$PROJECT_DIR/environment.yml" >"$WORK/environment.yml"
  step "conda could not create the environment" create_conda
  if [[ "$torch_build" != default ]]; then
    # PyTorch from its own index alone and everything else from the main one alone: where pip may choose between two, a
    # stranger's higher version wins. The CUDA packages of the lock belong to the default build; PyTorch names its own.
    printf '%s\n' "torch==$(pinned torch)+$torch_build" "torchvision==$(pinned torchvision)+$torch_build" >"$WORK/torch.txt"
    step "pip could not install PyTorch" \
      pip_install --no-deps --index-url "$TORCH_INDEX_URL/$torch_build" -r "$WORK/torch.txt"
    lock="$WORK/requirements.txt"
    grep -Ev '^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)(\[[a-z,]*\])?==' \
      "$PROJECT_DIR/requirements.lock" | cat - "$WORK/torch.txt" >"$lock"
  fi
  step "pip could not install the locked packages" pip_install -r "$lock"
  # the lock names every dependency already, the project itself is used where it lies
  step "pip could not install the project" pip_install --no-deps --editable "$PROJECT_DIR"
  "$PREFIX/bin/python" -c 'import ipykernel, torch, gan_lib; print("gan-lib: torch", torch.__version__)' ||
    fail "the finished environment cannot import torch and gan_lib"
  printf 'PyTorch %s, build %s: %s.\n' "$(pinned torch)" "$torch_build" "$WHY" >"$PREFIX/gan-lib-build.txt"
  touch "$PREFIX/.ready"
}

for name in environment.yml requirements.lock pyproject.toml; do
  [[ -f "$PROJECT_DIR/$name" ]] || fail "the project in $PROJECT_DIR has no $name"
done
for old in "$PROJECT_DIR".before-*; do  # a newly fetched project replaces the old folder; the user's runs move along
  if [[ -d "$old/results/runs" && ! -e "$PROJECT_DIR/results/runs" ]]; then
    mkdir -p "$PROJECT_DIR/results"
    mv -T "$old/results/runs" "$PROJECT_DIR/results/runs"
  fi
done
choose_torch
KEY="$(printf '%s %s\n' "$WANTED" "$PROJECT_DIR" |
  cat - "$PROJECT_DIR/requirements.lock" "$PROJECT_DIR/environment.yml" | sha256sum)"
PREFIX="$ENVS_DIR/.gan-lib-${KEY:0:12}"
if [[ "${1:-}" == --quick ]]; then
  [[ -f "$PREFIX/.ready" && "$(readlink "$ENVS_DIR/gan-lib")" == "${PREFIX##*/}" ]]
  exit
fi
mkdir -p "$ENVS_DIR"
[[ -f "$PREFIX/.ready" ]] || build
ln -sfn "${PREFIX##*/}" "$ENVS_DIR/gan-lib.new"
mv -fT "$ENVS_DIR/gan-lib.new" "$ENVS_DIR/gan-lib"  # in use from here, in one rename
for old in "$ENVS_DIR"/.gan-lib-*; do
  [[ "$old" == "$PREFIX" ]] || rm -rf "$old"
done
say "ready"
