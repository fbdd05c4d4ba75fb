#!/bin/bash
# Purpose: stand in for the programs that the lifecycle scripts call. One file, linked under each program's name into
# the sandbox. Every call is written to calls.log as "session<TAB>name<TAB>arguments". A file control/<name> holds bash
# lines that a test wants to run first: to fail, to hang, to print, or to cut the power.
set -euo pipefail

root="$0"
while [[ ! -d "$root/control" ]]; do root="${root%/*}"; done
name="${0##*/}"
all="$*"

# Sets SESSION to the session of a process; without a child, since this runs for every call.
session_of() {
  local line=""
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || true
  read -r _ _ _ SESSION _ <<<"${line##*) }" || true
}

# As when the instance stops: everything of this session ends at once, nothing cleans up. The session's leader goes
# first, so that nothing of it gets to react to the others' end.
power_cut() {
  local mine pid
  session_of "$$"
  mine="$SESSION"
  kill -KILL "$mine"
  for pid in /proc/[0-9]*; do
    pid="${pid##*/}"
    session_of "$pid"
    if [[ "$pid" != "$$" && "$SESSION" == "$mine" ]]; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done
  kill -KILL "$$"
}

# fail_times N: fail the first N calls of this program, then go on as usual.
fail_times() {
  local count=0
  [[ ! -f "$root/control/$name.count" ]] || count="$(<"$root/control/$name.count")"
  echo "$((count + 1))" >"$root/control/$name.count"
  if ((count < $1)); then
    echo "$name: Connection reset by peer" >&2
    exit 1
  fi
}

in_bucket() { if [[ "$1" == s3://* ]]; then echo "$root/s3/${1#s3://}"; else echo "$1"; fi; }

session_of "$$"
# one write of at most a page, which no other call's line can come between
line="$(printf '%s\t%s\t%s' "$SESSION" "$name" "${all//$'\n'/ }")"
printf '%s\n' "${line:0:4000}" >>"$root/calls.log"
# shellcheck disable=SC1090
if [[ -f "$root/control/$name" ]]; then source "$root/control/$name"; fi

case "$name" in
  sudo)  # like the real one: another user's home and PATH, and nothing else of the caller's environment
    while [[ "$1" == -* ]]; do
      if [[ "$1" == -u ]]; then shift; fi
      shift
    done
    exec env -i HOME="$root/home/ec2-user" USER=ec2-user PATH=/usr/bin:/bin "$@"
    ;;
  setsid) exec /usr/bin/setsid "$@" ;;
  git) exec /usr/bin/git "$@" ;;
  sleep) exec /bin/sleep 0.02 ;;
  ln | mv) exec "/bin/$name" "$@" ;;
  systemctl | ps) ;;
  nvidia-smi)
    echo "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    exit 9
    ;;
  df)
    echo "Filesystem 1024-blocks Used Available Capacity Mounted on"
    echo "volume 104857600 0 $(($(cat "$root/control/free-gb" 2>/dev/null || echo 100) * 1048576)) 1% /"
    ;;
  conda)
    [[ "$1 $2" == "env create" ]]
    while (($# > 1)); do
      if [[ "$1" == --prefix ]]; then prefix="$2"; fi
      if [[ "$1" == --file ]]; then file="$2"; fi
      shift
    done
    [[ ! -e "$prefix" ]] || { echo "CondaValueError: prefix already exists: $prefix" >&2; exit 1; }
    mkdir -p "$prefix/bin"
    cp "$file" "$prefix/environment.yml"
    ln -s "$root/stand_in.sh" "$prefix/bin/python"
    ;;
  python)
    prefix="$(cd "$(dirname "$0")/.." && pwd)"
    while (($# > 1)); do
      if [[ "$1" == -r ]]; then cp "$2" "$prefix/requirements.txt"; fi
      if [[ "$1" == --editable ]]; then ln -sf "$root/stand_in.sh" "$prefix/bin/gan-lib"; fi
      shift
    done
    ;;
  gan-lib)
    mkdir -p "results/runs/$2/seed-0"
    echo '{"status": "ok"}' >"results/runs/$2/seed-0/summary.json"
    echo "epoch 1 of 1"
    ;;
  curl)
    address="${all##* }"
    cat >/dev/null
    case "$address" in
      */torch/) exec cat "$root/control/listing-$(basename "$(dirname "$address")")" ;;
      */api/*) exec cat "$root/control/api-$(basename "$address")" ;;
      *) exit 7 ;;
    esac
    ;;
  aws)
    if [[ "$1 $2" == "s3 cp" ]]; then
      source_file="$(in_bucket "${*: -2:1}")"
      target="$(in_bucket "${*: -1}")"
      if [[ "$target" == - ]]; then exec cat "$source_file"; fi
      mkdir -p "$(dirname "$target")"
      exec cp "$source_file" "$target"
    elif [[ "$1 $2" == "s3 sync" ]]; then
      target="$(in_bucket "${*: -1}")"
      mkdir -p "$target"
      exec cp -rT "${*: -2:1}" "$target"
    fi
    ;;
  *) exit 127 ;;
esac
