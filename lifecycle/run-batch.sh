#!/bin/bash
# Purpose: run the batch that was requested for this instance, if any. Called by the on-start hook, as ec2-user, once
# the environment is ready.
#
# A request is a text file, one argument of `gan-lib run` on each line, as in
#     gan-gpu
#     cgan-gpu
#     --preset
#     paper
# Empty lines and lines that begin with # are ignored, so a comment with the time makes a request new. It stands in
# ~/SageMaker/gan-lib-batch.txt or, where S3_PREFIX is set, in S3_PREFIX/<instance name>/batch.txt.
# A request is run once: when the batch has ended, well or badly, it is renamed to gan-lib-batch.done.txt, and its exit
# status is in gan-lib-batch.status.txt. A batch that the instance's stop cut off still has its request: the next start
# runs the same command again, which goes on from the records and checkpoints in the results folder.
set -euo pipefail

# Knobs.
S3_PREFIX="${S3_PREFIX:-}"        # s3://BUCKET/PREFIX: where requests come from and results go; empty: no bucket
INSTANCE="${INSTANCE:-}"          # the notebook instance's name
SYNC_SECONDS="${SYNC_SECONDS:-60}"  # between uploads

ROOT="${GAN_LIB_ROOT:-}"  # empty on an instance; the tests put a sandbox folder here
HOME_DIR="$ROOT/home/ec2-user"
VOLUME="$HOME_DIR/SageMaker"
ENV_DIR="$VOLUME/envs/gan-lib"
PROJECT_DIR="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
REQUEST="$VOLUME/gan-lib-batch.txt"
DONE="$VOLUME/gan-lib-batch.done.txt"
STATUS="$VOLUME/gan-lib-batch.status.txt"
LOG="$VOLUME/gan-lib-batch.log"
BUCKET_DIR="$S3_PREFIX/$INSTANCE"

# A request in the bucket counts unless it is the one that was run last.
fetch_request() {
  local fresh="$REQUEST.new"
  [[ -n "$S3_PREFIX" && ! -f "$REQUEST" ]] || return 0
  rm -f "$fresh"
  timeout 60 aws s3 cp --quiet "$BUCKET_DIR/batch.txt" "$fresh" 2>/dev/null || return 0  # mostly: there is none
  if cmp --silent "$fresh" "$DONE"; then rm "$fresh"; else mv "$fresh" "$REQUEST"; fi
}

# Results so far, log and status into the bucket. Checkpoints and locks serve this instance only.
upload() {
  [[ -n "$S3_PREFIX" ]] || return 0
  timeout 1200 aws s3 sync --only-show-errors --exclude '*checkpoint*' --exclude '*run.lock' \
    "$PROJECT_DIR/results/runs" "$BUCKET_DIR/runs" &&
    timeout 60 aws s3 cp --only-show-errors "$LOG" "$BUCKET_DIR/batch.log" &&
    timeout 60 aws s3 cp --only-show-errors "$STATUS" "$BUCKET_DIR/batch.status.txt"
}

upload_as_it_goes() {
  while sleep "$SYNC_SECONDS"; do upload >>"$VOLUME/gan-lib-upload.log" 2>&1 || true; done
}

write_status() {
  printf '%s\n' "$1" >"$STATUS.new"
  mv -f "$STATUS.new" "$STATUS"
}

exec 8>>"$HOME_DIR/.gan-lib/batch.lock"
flock --nonblock 8 || exit 0  # one batch at a time; the auto-stop looks at this lock
fetch_request
[[ -f "$REQUEST" ]] || exit 0

mapfile -t ARGUMENTS < <(grep -Ev '^[[:space:]]*(#|$)' "$REQUEST" || true)
cd "$PROJECT_DIR"  # the command's default results folder is the project's
mkdir -p results/runs

write_status "running"
: >"$VOLUME/gan-lib-upload.log"
UPLOADER=""
if [[ -n "$S3_PREFIX" ]]; then
  upload_as_it_goes 8>&- &
  UPLOADER=$!
fi
# the lock's descriptor is closed for the batch: a process that it leaves behind must not look like a batch
exit_status=0
PATH="$ENV_DIR/bin:$PATH" PYTHONNOUSERSITE=1 "$ENV_DIR/bin/gan-lib" run "${ARGUMENTS[@]}" >"$LOG" 2>&1 8>&- || exit_status=$?
if [[ -n "$UPLOADER" ]]; then kill "$UPLOADER" 2>/dev/null || true; fi

mv -f "$REQUEST" "$DONE"
write_status "ended with exit status $exit_status"
for attempt in 1 2 3; do
  if upload >>"$VOLUME/gan-lib-upload.log" 2>&1; then break; fi
  [[ "$attempt" != 3 ]] || write_status "ended with exit status $exit_status; the results are not all in the bucket"
  sleep "$((SYNC_SECONDS / 4))"
done
exit "$exit_status"
