#!/bin/bash
# Purpose: build or update the environment, register the kernel "Python (gan-lib)", tell the state, run a requested batch.
# Called by the on-start hook, as ec2-user, once the project is there:  setup.sh [--kernel]
#   --kernel   only register the kernel as things are now, which takes no time
set -euo pipefail

# Knobs: the on-start hook sets them.
S3_PREFIX="${S3_PREFIX:-}"  # s3://BUCKET/PREFIX: where status and results go; empty: no bucket
INSTANCE="${INSTANCE:-}"    # the notebook instance's name
TROUBLE="${TROUBLE:-}"      # why the project could not be refreshed; empty: it was

FOLDER="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
HOME_DIR="${GAN_LIB_ROOT:-}/home/ec2-user"
VOLUME="$HOME_DIR/SageMaker"
ENV_DIR="$VOLUME/envs/gan-lib"       # a link to the newest finished build
STATUS="$VOLUME/GAN-LIB-STATUS.txt"  # for the user
LOG="$VOLUME/gan-lib-setup.log"      # of the last build

keep() {  # keep FILE TEXT: written whole, and only when it changes; a full disk must not stop the rest
  [[ "$(cat "$1" 2>/dev/null)" == "$2" ]] || { printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null || true
}

register_kernel() {  # at every start, for the home folder is new; the kernel's name says what is wrong
  local name="Python (gan-lib)" folder="$HOME_DIR/.local/share/jupyter/kernels/gan-lib"
  local argv="\"/bin/sh\", \"-c\", \"cat '$STATUS' >&2; exit 1\""
  [[ "$1" == ready ]] || name+=" - $1, see ${STATUS##*/}"
  if [[ -f "$ENV_DIR/.ready" ]]; then
    argv="\"$ENV_DIR/bin/python\", \"-m\", \"ipykernel_launcher\", \"-f\", \"{connection_file}\""
  fi
  mkdir -p "$folder"
  # kernels run no activate hooks, so what activation would set stands here
  keep "$folder/kernel.json" "{\"argv\": [$argv], \"display_name\": \"$name\", \"language\": \"python\", \"env\": {
  \"CONDA_PREFIX\": \"$ENV_DIR\", \"CONDA_DEFAULT_ENV\": \"gan-lib\", \"PYTHONNOUSERSITE\": \"1\",
  \"PATH\": \"$ENV_DIR/bin:/usr/local/bin:/usr/bin:/bin\"}}"
}

tell() {  # tell STATE SENTENCE
  keep "$STATUS" "gan-lib: $1"$'\n'"$2"$'\n'"Log of the last build: $LOG"
  register_kernel "$1"
  [[ -z "$S3_PREFIX" ]] || timeout 60 aws s3 cp --quiet "$STATUS" "$S3_PREFIX/$INSTANCE/status.txt" || true
}

build() { /bin/bash "$FOLDER/build-environment.sh" "$@"; }

if [[ "${1:-}" == --kernel ]]; then
  if [[ -f "$ENV_DIR/.ready" ]]; then register_kernel ready; else register_kernel "being set up"; fi
elif ! build --quick && ! { tell "being set up" "This takes some minutes." && build >"$LOG" 2>&1; }; then
  tell "setup failed" "$(grep '^gan-lib: ' "$LOG" | tail -n 1 || true) The next start tries again."
elif [[ -n "$TROUBLE" ]]; then  # no batch: it was asked of the new project
  tell "project not refreshed" "${TROUBLE}The copy that was there is used. $(cat "$ENV_DIR/gan-lib-build.txt")"
else
  tell ready "$(cat "$ENV_DIR/gan-lib-build.txt")"
  exec 9>&-  # the setup's lock
  /bin/bash "$FOLDER/run-batch.sh"
fi
