#!/bin/bash
# Purpose: run the batch that was requested for this instance, if any, and upload its results. Called by setup.sh, as
# ec2-user, once the environment is ready. A request, gan-lib-batch.txt, is described in README.md. It is run once; one that
# the instance's stop cut off is run again at the next start, and resumes from its records and checkpoints.
set -euo pipefail

# Knobs.
S3_PREFIX="${S3_PREFIX:-}"          # s3://BUCKET/PREFIX: where requests come from and results go; empty: no bucket
INSTANCE="${INSTANCE:-}"            # the notebook instance's name
SYNC_SECONDS="${SYNC_SECONDS:-60}"  # between uploads

HOME_DIR="${GAN_LIB_ROOT:-}/home/ec2-user"  # the variable is empty on an instance; the tests put a sandbox folder there
VOLUME="$HOME_DIR/SageMaker"
ENV_DIR="$VOLUME/envs/gan-lib"
REQUEST="$VOLUME/gan-lib-batch.txt"
DONE="$VOLUME/gan-lib-batch.done.txt"
STATUS="$VOLUME/gan-lib-batch.status.txt"
LOG="$VOLUME/gan-lib-batch.log"
BUCKET_DIR="$S3_PREFIX/$INSTANCE"

upload() {  # checkpoints, locks and half-written files serve this instance only
  [[ -n "$S3_PREFIX" ]] || return 0
  {
    timeout 1200 aws s3 sync --only-show-errors --exclude '*checkpoint*' --exclude '*.lock' --exclude '*/.*' \
      results/runs "$BUCKET_DIR/runs" &&
      timeout 60 aws s3 cp --only-show-errors "$LOG" "$BUCKET_DIR/batch.log" &&
      timeout 60 aws s3 cp --only-show-errors "$STATUS" "$BUCKET_DIR/batch.status.txt"
  } >>"$VOLUME/gan-lib-upload.log" 2>&1
}

write_status() { printf '%s\n' "$1" >"$STATUS.new" && mv -f "$STATUS.new" "$STATUS"; }

exec 8>>"$HOME_DIR/.gan-lib/batch.lock"
flock --nonblock 8 || exit 0  # one batch at a time; the auto-stop looks at this lock
if [[ -n "$S3_PREFIX" && ! -f "$REQUEST" ]]; then  # a request in the bucket counts unless it is the one that was run last
  rm -f "$REQUEST.new"
  timeout 60 aws s3 cp --quiet "$BUCKET_DIR/batch.txt" "$REQUEST.new" 2>/dev/null || true  # mostly: there is none
  [[ ! -f "$REQUEST.new" ]] || cmp --silent "$REQUEST.new" "$DONE" || mv "$REQUEST.new" "$REQUEST"
fi
[[ -f "$REQUEST" ]] || exit 0

# as some editors write it: a byte order mark, CRLF, blanks around
mapfile -t ARGUMENTS < <(sed $'1s/^\xEF\xBB\xBF//; s/^[[:space:]]*//; s/[[:space:]]*$//; /^#/d; /^$/d' "$REQUEST")
cd "$(dirname "${BASH_SOURCE[0]}")/.."  # the command's default results folder is the project's
mkdir -p results/runs
write_status "running"
: >"$VOLUME/gan-lib-upload.log"
while sleep "$SYNC_SECONDS"; do upload || true; done 8>&- &
UPLOADER=$!
# the lock's descriptor is closed for the batch: a process that it leaves behind must not look like a batch
exit_status=0
PATH="$ENV_DIR/bin:$PATH" PYTHONNOUSERSITE=1 "$ENV_DIR/bin/gan-lib" run "${ARGUMENTS[@]}" >"$LOG" 2>&1 8>&- || exit_status=$?
kill "$UPLOADER" 2>/dev/null || true

mv -f "$REQUEST" "$DONE"
[[ "$exit_status" != 2 ]] || touch "$HOME_DIR/.gan-lib/refused"  # the auto-stop does not wait then
write_status "ended with exit status $exit_status"
for attempt in 1 2 3; do
  if upload; then break; fi
  [[ "$attempt" != 3 ]] || write_status "ended with exit status $exit_status; the results are not all in the bucket"
  sleep "$((SYNC_SECONDS / 4))"
done
exit "$exit_status"
