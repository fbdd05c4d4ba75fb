#!/bin/bash
# SageMaker notebook instance, on-create hook: runs as root, once, when the instance is created.
# Purpose: none of its own. SageMaker runs on-start right after it, and that does all there is to do, at every start.
set -euo pipefail
echo "gan-lib: on-start, which comes next, does the work"
