#!/bin/bash
# Purpose: build the project's conda environment on the notebook volume, with the PyTorch build that fits the driver.
# Runs as ec2-user, called by the hooks; by hand it works too:  bash build-environment.sh [--quick]
#   --quick   do only what takes no time; exit 0 when the finished environment fits project and driver, 1 when it
#             must be built
#
# Each build gets a folder of its own, named by a hash of what it was built from, and counts only when its stamp
# (.ready, written last) is there. `envs/gan-lib` is a link to the newest finished one. So an interrupted build leaves
# nothing that could be taken for an environment, and a failed update leaves the old one in use.
set -euo pipefail

# Knobs.
TORCH_INDEX_URL="${TORCH_INDEX_URL:-https://download.pytorch.org/whl}"  # where PyTorch publishes its other builds
CUDA12_BUILDS="${CUDA12_BUILDS:-cu126 cu128}"   # tried in this order for drivers from 525 up to 579
STEP_SECONDS="${STEP_SECONDS:-2400}"            # a step that hangs longer is ended, so that it cannot hold the lock
RETRY_DELAYS="${RETRY_DELAYS:-10 60 180}"       # seconds between attempts

ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests put a sandbox folder here
HOME_DIR="$ROOT/home/ec2-user"
ENVS_DIR="$HOME_DIR/SageMaker/envs"
PROJECT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
CONDA="$HOME_DIR/anaconda3/bin/conda"
export PYTHONNOUSERSITE=1  # packages in the home folder are gone after a stop: they must not satisfy anything here
unset PYTHONPATH

say() { printf 'gan-lib: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Prints the driver's version, or nothing where there is no usable NVIDIA driver.
driver_version() {
  local attempt answer
  command -v nvidia-smi >/dev/null || return 0
  for attempt in 1 2 3; do
    # on a machine without a GPU nvidia-smi may exist and print an apology: only a number counts
    if answer="$(timeout 60 nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null)" &&
      [[ "$answer" =~ ^[0-9]+\.[0-9.]+ ]]; then
      printf '%s\n' "${BASH_REMATCH[0]}"
      return 0
    fi
    # right after boot the driver may still be loading; wait for it only where there is an NVIDIA device
    grep -qs 0x10de "$ROOT"/sys/bus/pci/devices/*/vendor || return 0
    [[ "$attempt" == 3 ]] || sleep "${RETRY_DELAYS%% *}"
  done
}

# Sets WANTED (cpu, cuda12 or default) and WHY. CUDA 12 builds need driver 525, CUDA 13 builds (the default) 580.
choose_torch() {
  local driver major
  driver="$(driver_version)"
  major="${driver%%.*}"
  if [[ -z "$driver" ]]; then
    WANTED=cpu WHY="no NVIDIA driver answers"
  elif ((major < 525)); then
    WANTED=cpu WHY="NVIDIA driver $driver is too old for any CUDA build (525 or newer is needed), so the GPU is not used"
  elif ((major < 580)); then
    WANTED=cuda12 WHY="NVIDIA driver $driver"
  else
    WANTED=default WHY="NVIDIA driver $driver"
  fi
}

# The version that the lock pins for a package, without its marker.
pinned() { sed -n "s/^$1==\([^ ;]*\).*/\1/p" "$PROJECT_DIR/requirements.lock" | head -n 1; }

# Prints the first CUDA 12 build that PyTorch publishes for the pinned version and this Python, or nothing.
published_cuda12() {
  local build page python
  python="$(sed -n 's/.*python=\([0-9]*\)\.\([0-9]*\).*/cp\1\2/p' "$PROJECT_DIR/environment.yml" | head -n 1)"
  for build in $CUDA12_BUILDS; do
    # a listing that cannot be read is no answer: the caller fails, and the next start tries again
    page="$(retry curl -sSfL --max-time 60 "$TORCH_INDEX_URL/$build/torch/")" || return 1
    # the listing writes the plus sign of a local version as %2B
    if grep -Eq "torch-$(pinned torch)(%2B|\+)$build-$python-[^\"<]*x86_64" <<<"$page"; then
      printf '%s\n' "$build"
      return 0
    fi
  done
}

retry() {
  local delay
  for delay in $RETRY_DELAYS; do
    if "$@"; then return 0; fi
    say "attempt failed, trying again in $delay s: $*"
    sleep "$delay"
  done
  "$@"
}

# The requirements of a build that PyPI does not serve: the same lock, with PyTorch's pins naming the build, and without
# the CUDA packages of the default build (PyTorch's own metadata asks for those that belong to the build).
requirements_for() {
  grep -Ev '^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)(\[[a-z,]*\])?==' "$PROJECT_DIR/requirements.lock"
  printf 'torch==%s+%s\ntorchvision==%s+%s\n' "$(pinned torch)" "$1" "$(pinned torchvision)" "$1"
}

# The conda part of environment.yml: pip's part follows as steps of its own, to choose the build and to try again.
conda_part() {
  awk '/^ *- *pip:/ { skipping = 1; indent = match($0, /-/); next }
       skipping && match($0, /[^ ]/) > indent { next }
       { skipping = 0; print }' "$PROJECT_DIR/environment.yml"
}

free_gigabytes() { df -Pk "$ENVS_DIR" | awk 'NR == 2 { print int($4 / 1048576) }'; }

create_conda() {
  rm -rf "$PREFIX"  # what a failed attempt left would make the next one fail
  timeout "$STEP_SECONDS" "$CONDA" env create --quiet --prefix "$PREFIX" --file "$WORK/environment.yml"
}

pip_install() {
  timeout "$STEP_SECONDS" "$PREFIX/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

clean_up() {  # a build that failed does not keep the disk full
  rm -rf "$WORK"
  [[ -f "$PREFIX/.ready" ]] || rm -rf "$PREFIX"
}

build() {
  local torch_build="$WANTED" needed=5 old
  [[ -x "$CONDA" ]] || fail "conda is not at $CONDA, where the platform notebook-al2023-v1 has it"
  for old in "$ENVS_DIR"/.gan-lib-*; do  # interrupted builds go before the space is counted
    [[ -f "$old/.ready" ]] || rm -rf "$old"
  done
  [[ "$WANTED" == cpu ]] || needed=14
  (($(free_gigabytes) >= needed)) ||
    fail "the volume is full: $(free_gigabytes) GB free, a build needs $needed; delete files or enlarge the volume"

  if [[ "$WANTED" == cuda12 ]]; then
    torch_build="$(published_cuda12)" || fail "PyTorch's list of builds at $TORCH_INDEX_URL could not be read"
    if [[ -z "$torch_build" ]]; then
      torch_build=cpu
      WHY+=", for which PyTorch $(pinned torch) has no build (this version needs 580 or newer), so the GPU is not used"
    fi
  fi
  say "building with PyTorch $(pinned torch), build $torch_build ($WHY)"

  WORK="$(mktemp -d)"
  trap clean_up EXIT
  conda_part >"$WORK/environment.yml"
  retry create_conda || fail "conda could not create the environment$(disk_hint)"
  if [[ "$torch_build" == default ]]; then
    retry pip_install -r "$PROJECT_DIR/requirements.lock" || fail "pip could not install the locked packages$(disk_hint)"
  else
    requirements_for "$torch_build" >"$WORK/requirements.txt"
    retry pip_install --extra-index-url "$TORCH_INDEX_URL/$torch_build" -r "$WORK/requirements.txt" ||
      fail "pip could not install the locked packages$(disk_hint)"
  fi
  # the lock names every dependency already, the project itself is used where it lies
  retry pip_install --no-deps --editable "$PROJECT_DIR" || fail "pip could not install the project$(disk_hint)"
  "$PREFIX/bin/python" -c 'import ipykernel, torch, gan_lib; print("gan-lib: torch", torch.__version__)' ||
    fail "the finished environment cannot import torch and gan_lib"

  printf 'PyTorch %s, build %s: %s.\n' "$(pinned torch)" "$torch_build" "$WHY" >"$PREFIX/gan-lib-build.txt"
  touch "$PREFIX/.ready"
}

# Makes the finished build the one in use, in one rename, and drops the others.
switch() {
  local old
  ln -sfn "${PREFIX##*/}" "$ENVS_DIR/gan-lib.new"
  mv -fT "$ENVS_DIR/gan-lib.new" "$ENVS_DIR/gan-lib"
  for old in "$ENVS_DIR"/.gan-lib-*; do
    [[ "$old" == "$PREFIX" ]] || rm -rf "$old"
  done
  say "ready"
}

# A newly fetched project replaces the old folder; the user's runs move along.
adopt_runs() {
  local old
  for old in "$PROJECT_DIR".before-*; do
    if [[ -d "$old/results/runs" && ! -e "$PROJECT_DIR/results/runs" ]]; then
      mkdir -p "$PROJECT_DIR/results"
      mv -T "$old/results/runs" "$PROJECT_DIR/results/runs"
    fi
  done
}

disk_hint() {
  local free
  free="$(free_gigabytes)"
  if ((free < 1)); then printf ': the volume is full, delete files or enlarge it'; else printf '; the log says more'; fi
}

for name in environment.yml requirements.lock pyproject.toml; do
  [[ -f "$PROJECT_DIR/$name" ]] || fail "the project in $PROJECT_DIR has no $name"
done
adopt_runs
choose_torch
KEY="$(printf '%s %s\n' "$WANTED" "$PROJECT_DIR" |
  cat - "$PROJECT_DIR/requirements.lock" "$PROJECT_DIR/environment.yml" | sha256sum)"
PREFIX="$ENVS_DIR/.gan-lib-${KEY:0:12}"
if [[ "${1:-}" == --quick ]]; then
  [[ -f "$PREFIX/.ready" && "$(readlink "$ENVS_DIR/gan-lib")" == "${PREFIX##*/}" ]]
else
  mkdir -p "$ENVS_DIR"
  [[ -f "$PREFIX/.ready" ]] || build
  switch
fi
