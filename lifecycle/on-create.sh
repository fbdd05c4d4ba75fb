#!/bin/bash
# SageMaker notebook instance, on-create hook: runs as root, once, when the instance is created.
# Purpose: bring the project to the notebook volume and build its conda environment there, in the background.
# The on-start hook follows at once, registers the kernel, and makes good whatever failed here.
set -euo pipefail

# Knobs: edit what stands after ":-". Without a git URL or archive, you put the project into ~/SageMaker/gan-lib.
PROJECT_GIT_URL="${PROJECT_GIT_URL:-}"        # a git URL that needs no password, and
PROJECT_GIT_COMMIT="${PROJECT_GIT_COMMIT:-}"  # the whole id of a commit: a branch would change under you
PROJECT_ARCHIVE="${PROJECT_ARCHIVE:-}"        # or s3://BUCKET/KEY.tar.gz; its sha256sum is in KEY.tar.gz.sha256
S3_PREFIX="${S3_PREFIX:-}"                    # s3://BUCKET/PREFIX: batches come from there, status and results go there
PYTHON_INDEX_URL="${PYTHON_INDEX_URL:-}"      # a package index of your own
TORCH_INDEX_URL="${TORCH_INDEX_URL:-https://download.pytorch.org/whl}"  # PyTorch's builds for CPU and older drivers
RETRY_DELAYS="${RETRY_DELAYS:-10 60 180}"     # seconds between attempts on the network

# --- the same in both hooks ---
ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests name a sandbox folder
export PATH="$ROOT/usr/local/bin:$ROOT/usr/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME_DIR="$ROOT/home/ec2-user"
VOLUME="$HOME_DIR/SageMaker"             # the only folder that survives a stop
PROJECT_DIR="$VOLUME/gan-lib"
ENV_DIR="$VOLUME/envs/gan-lib"           # a link to the newest finished build
STATUS="$VOLUME/GAN-LIB-STATUS.txt"      # for the user
LOG="$VOLUME/gan-lib-setup.log"          # of the last build
SOURCE="$VOLUME/.gan-lib-source"         # the commit or checksum that the project folder came from
STATE_DIR="$HOME_DIR/.gan-lib"           # locks: gone after a stop, as they should be
METADATA="$ROOT/opt/ml/metadata/resource-metadata.json"
SETTINGS=(PROJECT_GIT_URL PROJECT_GIT_COMMIT PROJECT_ARCHIVE S3_PREFIX PYTHON_INDEX_URL TORCH_INDEX_URL RETRY_DELAYS
  ROOT PATH HOME_DIR VOLUME PROJECT_DIR ENV_DIR STATUS LOG SOURCE STATE_DIR METADATA)

instance_name() { sed -n 's/.*"ResourceName": *"\([^"]*\)".*/\1/p' "$METADATA"; }

retry() {
  local delay
  for delay in $RETRY_DELAYS; do
    if "$@"; then return 0; fi
    sleep "$delay"
  done
  "$@"
}

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
  [[ -z "$S3_PREFIX" ]] || timeout 60 aws s3 cp --quiet "$STATUS" "$S3_PREFIX/$(instance_name)/status.txt" || true
}

download() {  # download VERSION FOLDER
  if [[ -n "$PROJECT_GIT_URL" ]]; then
    git init --quiet "$2" || return 1
    retry timeout 600 git -C "$2" fetch --quiet --depth 1 "$PROJECT_GIT_URL" "$1" || return 1
    git -C "$2" checkout --quiet --detach "$1"
  else
    retry timeout 600 aws s3 cp --only-show-errors "$PROJECT_ARCHIVE" "$2.tar.gz" || return 1
    sha256sum --check --status <<<"$1  $2.tar.gz" || { echo "wrong checksum: $PROJECT_ARCHIVE"; return 1; }
    tar -xzf "$2.tar.gz" -C "$2"
  fi
}

fetch_project() {  # the last line printed says why it failed
  local want
  if [[ -n "$PROJECT_GIT_URL" ]]; then
    want="$PROJECT_GIT_COMMIT"
    [[ "$want" =~ ^[0-9a-f]{40}$ ]] || { echo "PROJECT_GIT_COMMIT must be a commit id of 40 hex digits"; return 1; }
  elif [[ -n "$PROJECT_ARCHIVE" ]]; then
    want="$(retry timeout 60 aws s3 cp --only-show-errors "$PROJECT_ARCHIVE.sha256" -)" || return 1
    want="${want%% *}"
  else
    return 0
  fi
  if [[ -d "$PROJECT_DIR" && "$(cat "$SOURCE" 2>/dev/null)" == "$want" ]]; then return 0; fi
  rm -rf "$PROJECT_DIR.new"*
  mkdir -p "$PROJECT_DIR.new" || return 1
  download "$want" "$PROJECT_DIR.new" || return 1
  rm -f "$PROJECT_DIR.new.tar.gz"
  # nothing of the user's is lost: the old folder keeps its content under another name
  [[ ! -e "$PROJECT_DIR" ]] || mv -T "$PROJECT_DIR" "$PROJECT_DIR.before-$(date +%Y%m%dT%H%M%S)" || return 1
  mv -T "$PROJECT_DIR.new" "$PROJECT_DIR" || return 1
  keep "$SOURCE" "$want"
}

builder() {
  PIP_INDEX_URL="$PYTHON_INDEX_URL" TORCH_INDEX_URL="$TORCH_INDEX_URL" RETRY_DELAYS="$RETRY_DELAYS" GAN_LIB_ROOT="$ROOT" \
    /bin/bash "$PROJECT_DIR/lifecycle/build-environment.sh" "$@"
}

prepare() {  # prepare COMMAND: project, environment, kernel, and when all is well COMMAND; as ec2-user, one at a time
  local answer trouble=""
  mkdir -p "$STATE_DIR"
  exec 9>>"$STATE_DIR/setup.lock"  # the system drops this lock when its holder dies, however it dies
  flock 9
  answer="$(fetch_project 2>&1)" || trouble="The project could not be fetched: ${answer##*$'\n'}. "
  if [[ ! -f "$PROJECT_DIR/lifecycle/build-environment.sh" ]]; then
    tell "waiting for the project" "${trouble}Put the project into $PROJECT_DIR, then stop and start the instance."
  elif builder --quick || { tell "being set up" "This takes some minutes." && builder >"$LOG" 2>&1; }; then
    answer="$(cat "$ENV_DIR/gan-lib-build.txt")"
    if [[ -n "$trouble" ]]; then
      tell "project not refreshed" "${trouble}The copy that was there is used. $answer"
    else
      tell ready "$answer"
      exec 9>&-
      "$@"
    fi
  else
    tell "setup failed" "$(grep '^gan-lib: ' "$LOG" | tail -n 1 || true) The next start tries again."
  fi
}

as_user() {  # as_user [--background] FUNCTION: root runs nothing from the user's volume; sudo drops settings and
  local launcher=()  # strict mode, so both are passed on
  if [[ "$1" == --background ]]; then shift; launcher=(nohup setsid); fi
  "${launcher[@]}" sudo -n -u ec2-user -H /bin/bash -c \
    "set -euo pipefail; $(declare -p "${SETTINGS[@]}"); PATH+=:$HOME_DIR/anaconda3/bin; $(declare -f); \"\$@\"" bash "$@"
}
# --- end of the same ---

as_user --background prepare true </dev/null >/dev/null 2>&1 &
echo "gan-lib: building in the background, see $LOG"
