#!/bin/bash
# SageMaker notebook instance, on-start hook: runs as root at every start, and right after on-create.
# Purpose: arm the auto-stop and fetch the project, whose own lifecycle/setup.sh does the rest. Root runs nothing from the
# user's volume. Where nothing is to be done, nothing changes.
set -euo pipefail

# Knobs: edit what stands after ":-". Without a git URL or archive, you put the project into ~/SageMaker/gan-lib.
PROJECT_GIT_URL="${PROJECT_GIT_URL:-}"        # a git URL that needs no password, and
PROJECT_GIT_COMMIT="${PROJECT_GIT_COMMIT:-}"  # the whole id of a commit: a branch would change under you
PROJECT_ARCHIVE="${PROJECT_ARCHIVE:-}"        # or s3://BUCKET/KEY.tar.gz; its sha256sum is in KEY.tar.gz.sha256
S3_PREFIX="${S3_PREFIX:-}"                    # s3://BUCKET/PREFIX: batches come from there, status and results go there
PYTHON_INDEX_URL="${PYTHON_INDEX_URL:-}"      # a package index of your own
TORCH_INDEX_URL="${TORCH_INDEX_URL:-https://download.pytorch.org/whl}"  # PyTorch's builds for CPU and older drivers
RETRY_DELAYS="${RETRY_DELAYS:-10 60 180}"     # seconds between attempts on the network
IDLE_MINUTES="${IDLE_MINUTES:-60}"            # stop the instance when nothing ran for so long; 0: never
MAX_HOURS="${MAX_HOURS:-12}"                  # and so many hours after its start, whatever runs then

GAN_LIB_ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests name a sandbox folder
PATH="$GAN_LIB_ROOT/usr/local/bin:$GAN_LIB_ROOT/usr/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HOME_DIR="$GAN_LIB_ROOT/home/ec2-user"
VOLUME="$HOME_DIR/SageMaker"         # the only folder that survives a stop
PROJECT_DIR="$VOLUME/gan-lib"
STATUS="$VOLUME/GAN-LIB-STATUS.txt"  # for the user
SOURCE="$VOLUME/.gan-lib-source"     # the commit or checksum that the project folder came from
STATE_DIR="$HOME_DIR/.gan-lib"       # locks: gone after a stop, as they should be
METADATA="$GAN_LIB_ROOT/opt/ml/metadata/resource-metadata.json"
INSTANCE="$(sed -n 's/.*"ResourceName": *"\([^"]*\)".*/\1/p' "$METADATA" 2>/dev/null || true)"
SETTINGS=(PROJECT_GIT_URL PROJECT_GIT_COMMIT PROJECT_ARCHIVE S3_PREFIX PYTHON_INDEX_URL TORCH_INDEX_URL RETRY_DELAYS
  GAN_LIB_ROOT PATH HOME_DIR VOLUME PROJECT_DIR STATUS SOURCE STATE_DIR METADATA INSTANCE)
export "${SETTINGS[@]}"  # the project's scripts find them in their environment

retry() {
  local delay
  for delay in $RETRY_DELAYS 0; do if "$@"; then return 0; fi; sleep "$delay"; done
  return 1
}

keep() {  # keep FILE TEXT: written whole, and only when it changes; a full disk must not stop the rest
  [[ "$(cat "$1" 2>/dev/null)" == "$2" ]] || { printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"; } 2>/dev/null || true
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

show_kernel() {  # JupyterLab lists the kernels that it finds when the hook has ended
  [[ ! -f "$PROJECT_DIR/lifecycle/setup.sh" ]] || /bin/bash "$PROJECT_DIR/lifecycle/setup.sh" --kernel
}

load() {  # fetch the project and hand over to it; one at a time
  local answer trouble="" kernel="$HOME_DIR/.local/share/jupyter/kernels/gan-lib"
  mkdir -p "$STATE_DIR" "$kernel"
  exec 9>>"$STATE_DIR/setup.lock"  # the system drops this lock when its holder dies, however it dies
  flock 9
  answer="$(fetch_project 2>&1)" || trouble="The project could not be fetched: ${answer##*$'\n'}. "
  if [[ -f "$PROJECT_DIR/lifecycle/setup.sh" ]]; then
    TROUBLE="$trouble" exec /bin/bash "$PROJECT_DIR/lifecycle/setup.sh"
  fi
  trouble+="Put the project into $PROJECT_DIR, then stop and start the instance."
  keep "$STATUS" "gan-lib: waiting for the project"$'\n'"$trouble"
  keep "$kernel/kernel.json" "{\"argv\": [\"/bin/sh\", \"-c\", \"cat '$STATUS' >&2; exit 1\"], \"language\": \"python\",
  \"display_name\": \"Python (gan-lib) - waiting for the project, see ${STATUS##*/}\"}"
  [[ -z "$S3_PREFIX" ]] || timeout 60 aws s3 cp --quiet "$STATUS" "$S3_PREFIX/$INSTANCE/status.txt"
}

auto_stop() {  # becomes a program that a timer runs: what else may keep the instance, the project's busy.sh knows
  local idle_file="$GAN_LIB_ROOT/run/gan-lib/idle-since" limit=$((IDLE_MINUTES * 60)) since uptime why="" reason
  read -r uptime _ <"$GAN_LIB_ROOT/proc/uptime"
  uptime="${uptime%.*}"
  if ((uptime >= MAX_HOURS * 3600)); then
    why="the cap of $MAX_HOURS hours is reached"
  elif reason="$(/bin/bash "$PROJECT_DIR/lifecycle/busy.sh")"; then
    rm -f "$idle_file"
  else
    since="$(cat "$idle_file" 2>/dev/null || true)"
    [[ "$since" =~ ^[0-9]+$ ]] || { since="$uptime"; echo "$since" >"$idle_file"; }
    reason="idle for $(((uptime - since) / 60)) minutes"
    # written by run-batch.sh: what the instance was started for will never run
    [[ ! -e "$STATE_DIR/refused" ]] || limit=0 reason+=", and the batch was refused"
    ((IDLE_MINUTES == 0 || uptime - since < limit)) || why="$reason"
  fi
  keep "$VOLUME/gan-lib-auto-stop.txt" "$(date '+%F %T'): ${why:+stopping, }${why:-$reason}"
  [[ -z "$why" ]] || aws sagemaker stop-notebook-instance --notebook-instance-name "$INSTANCE" \
    --region "$(sed -n 's/.*"arn:[^:]*:sagemaker:\([^:]*\):.*/\1/p' "$METADATA")"
}

install_auto_stop() {  # root's own file, run as ec2-user
  local program="$GAN_LIB_ROOT/usr/local/sbin/gan-lib-auto-stop" unit="$GAN_LIB_ROOT/etc/systemd/system/gan-lib-auto-stop"
  [[ "$IDLE_MINUTES" =~ ^[0-9]+$ ]] || IDLE_MINUTES=60
  [[ "$MAX_HOURS" =~ ^[1-9][0-9]*$ ]] || MAX_HOURS=12
  keep "$program" "#!/bin/bash
set -euo pipefail
$(declare -p "${SETTINGS[@]}" IDLE_MINUTES MAX_HOURS)
$(declare -f keep auto_stop)
PATH+=:$HOME_DIR/anaconda3/bin
auto_stop"
  chmod 755 "$program"
  keep "$unit.service" "[Service]
Type=oneshot
User=ec2-user
RuntimeDirectory=gan-lib
RuntimeDirectoryPreserve=yes
TimeoutStartSec=240
ExecStart=$program"
  keep "$unit.timer" "[Timer]
OnCalendar=*:0/5
[Install]
WantedBy=timers.target"
  systemctl daemon-reload
  systemctl enable --now gan-lib-auto-stop.timer
}

as_user() {  # as_user FUNCTION [LAUNCHER]: sudo drops settings and strict mode, so both are passed on
  "${@:2}" sudo -n -u ec2-user -H /bin/bash -c \
    "set -euo pipefail; $(declare -p "${SETTINGS[@]}"); PATH+=:$HOME_DIR/anaconda3/bin; $(declare -f); $1"
}

install_auto_stop  # first, and a failure is one: what nothing would stop had better not start
as_user show_kernel
as_user load nohup setsid </dev/null >/dev/null 2>&1 &
echo "gan-lib: installing in the background, see $STATUS"
