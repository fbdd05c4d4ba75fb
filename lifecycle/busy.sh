#!/bin/bash
# Purpose: say in a line what is at work on this instance, with exit status 0; status 1 when nothing is. The auto-stop
# asks every 5 minutes, as ec2-user.
set -euo pipefail

ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests name a sandbox folder
HOME_DIR="$ROOT/home/ec2-user"

busy() { echo "$*"; exit 0; }

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

while IFS= read -r file; do  # setup, batch, run: the system drops a lock when its holder dies, whatever the file says
  flock -n "$file" true || [[ $? != 1 ]] || busy "$file is held"
done < <(find "$HOME_DIR/.gan-lib" "$HOME_DIR/SageMaker" -path "$HOME_DIR/SageMaker/envs" -prune -o \
  -type f -name '*.lock' -print 2>/dev/null)
while read -r tty name line; do
  [[ ! "$line" =~ papermill|nbconvert|gan-lib\ run|-m\ gan_lib ]] || busy "a batch runs: $line"
  [[ "$tty" != pts/* || "$name" =~ ^(ba|z|)sh$ ]] || busy "a terminal runs $name"
done <<<"$(ps -u ec2-user -o tty=,comm=,args= || true)"
for _ in 1 2 3; do
  line="$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -n 1 || true)"
  [[ "$line" =~ ^[0-9]+$ ]] || break
  ((line < 5)) || busy "the GPU is at $line %"
  sleep 1
done
read -r _ load _ <"$ROOT/proc/loadavg"  # shows what nobody else here sees, such as a program under nohup
((10#${load/./} < 50)) || busy "the processors are used"
answer="$(jupyter_api kernels)" || busy "JupyterLab does not answer"  # somebody may be working, and the cap still holds
[[ ! "$answer" =~ \"execution_state\":\ *\"busy\" ]] || busy "a kernel is busy"
answer+="$(jupyter_api terminals || true)"
while IFS= read -r line; do
  ((EPOCHSECONDS - $(date -d "$line" +%s || echo 0) >= 600)) || busy "JupyterLab is used"
done < <(grep -o '"last_activity": *"[^"]*"' <<<"$answer" | cut -d '"' -f 4)
exit 1
