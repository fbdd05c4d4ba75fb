#!/bin/bash
# SageMaker notebook instance, on-start hook: runs as root at every start, and right after on-create.
# Purpose: arm the auto-stop, show the kernel "Python (gan-lib)" in JupyterLab, and in the background bring project and
# environment up to date and run a requested batch. Where nothing is to be done, nothing changes.
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

run_batch() {
  GAN_LIB_ROOT="$ROOT" S3_PREFIX="$S3_PREFIX" INSTANCE="$(instance_name)" \
    /bin/bash "$PROJECT_DIR/lifecycle/run-batch.sh"
}

show_kernel() { if [[ -f "$ENV_DIR/.ready" ]]; then register_kernel ready; else register_kernel "being set up"; fi; }

# --- auto-stop: these functions become a program that a timer runs every 5 minutes ---
run_lock_alive() {  # of this boot and host, with a living process; an unreadable one counts too
  local pid host
  (($(stat -c %Y "$1") >= EPOCHSECONDS - UPTIME)) || return 1
  pid="$(sed -n 's/.*"pid": *\([0-9]*\).*/\1/p' "$1")"
  host="$(sed -n 's/.*"host": *"\([^"]*\)".*/\1/p' "$1")"
  [[ -z "$pid" ]] || { [[ -d "$ROOT/proc/$pid" ]] && [[ -z "$host" || "$host" == "$HOSTNAME" ]]; }
}

jupyter_api() {  # the server's own file names its address and token; the default is SageMaker's
  local file url token
  for file in "$HOME_DIR"/.local/share/jupyter/runtime/jpserver-*.json; do
    url="$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$file" 2>/dev/null || true)"
    token="$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$file" 2>/dev/null || true)"
    printf 'header = "Authorization: token %s"\n' "$token" |
      curl -sfk --max-time 20 --config - "${url:-https://localhost:8443/}api/$1" && return 0
  done
  return 1
}

busy() {  # prints why the instance must go on; fails when nothing speaks for it
  local file tty name line load answer
  for file in setup batch; do
    if [[ -e "$STATE_DIR/$file.lock" ]] && ! flock -n "$STATE_DIR/$file.lock" true; then echo "$file runs"; return 0; fi
  done
  while IFS= read -r file; do
    if run_lock_alive "$file"; then echo "a run holds $file"; return 0; fi
  done < <(find "$VOLUME" -path "$VOLUME/envs" -prune -o -name run.lock -print)
  while read -r tty name line; do
    if [[ "$line" =~ papermill|nbconvert|gan-lib\ run|-m\ gan_lib ]]; then echo "a batch runs: $line"; return 0; fi
    if [[ "$tty" == pts/* && ! "$name" =~ ^(ba|z|)sh$ ]]; then echo "a terminal runs $name"; return 0; fi
  done <<<"$(ps -u ec2-user -o tty=,comm=,args= || true)"
  for _ in 1 2 3; do
    line="$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -n 1 || true)"
    [[ "$line" =~ ^[0-9]+$ ]] || break
    if ((line >= 5)); then echo "the GPU is at $line %"; return 0; fi
    sleep 1
  done
  read -r _ load _ <"$ROOT/proc/loadavg"  # shows what nobody else here sees, such as a program under nohup
  if ((10#${load/./} >= 50)); then echo "the processors are used"; return 0; fi
  # no answer: somebody may be working, and the cap still holds
  answer="$(jupyter_api kernels)" || { echo "JupyterLab does not answer"; return 0; }
  if [[ "$answer" =~ \"execution_state\":\ *\"busy\" ]]; then echo "a kernel is busy"; return 0; fi
  answer+="$(jupyter_api terminals || true)"
  while IFS= read -r line; do
    if ((EPOCHSECONDS - $(date -d "$line" +%s || echo 0) < 600)); then echo "JupyterLab is used"; return 0; fi
  done < <(grep -o '"last_activity": *"[^"]*"' <<<"$answer" | cut -d '"' -f 4)
  return 1
}

auto_stop() {
  local idle_file="$ROOT/run/gan-lib/idle-since" since="" why="" reason
  read -r UPTIME _ <"$ROOT/proc/uptime"
  UPTIME="${UPTIME%.*}"
  if ((UPTIME >= MAX_HOURS * 3600)); then
    why="the cap of $MAX_HOURS hours is reached"
  elif reason="$(busy)"; then
    rm -f "$idle_file"
  else
    since="$(cat "$idle_file" 2>/dev/null || true)"
    [[ "$since" =~ ^[0-9]+$ ]] || { since="$UPTIME"; echo "$since" >"$idle_file"; }
    reason="idle for $(((UPTIME - since) / 60)) minutes"
    ((IDLE_MINUTES == 0 || UPTIME - since < IDLE_MINUTES * 60)) || why="nothing ran for $IDLE_MINUTES minutes"
  fi
  keep "$VOLUME/gan-lib-auto-stop.txt" "$(date '+%F %T'): ${why:+stopping, }${why:-$reason}"
  [[ -z "$why" ]] || aws sagemaker stop-notebook-instance --notebook-instance-name "$(instance_name)" \
    --region "$(sed -n 's/.*"arn:[^:]*:sagemaker:\([^:]*\):.*/\1/p' "$METADATA")"
}

install_auto_stop() {  # root's own file, run as ec2-user
  local program="$ROOT/usr/local/sbin/gan-lib-auto-stop" unit="$ROOT/etc/systemd/system/gan-lib-auto-stop"
  [[ "$IDLE_MINUTES" =~ ^[0-9]+$ ]] || IDLE_MINUTES=60
  [[ "$MAX_HOURS" =~ ^[1-9][0-9]*$ ]] || MAX_HOURS=12
  keep "$program" "#!/bin/bash
set -euo pipefail
$(declare -p "${SETTINGS[@]}" IDLE_MINUTES MAX_HOURS)
$(declare -f)
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

install_auto_stop  # first, and a failure is one: what nothing would stop had better not start
as_user show_kernel
as_user --background prepare run_batch </dev/null >/dev/null 2>&1 &
echo "gan-lib: going on in the background, see $STATUS"
