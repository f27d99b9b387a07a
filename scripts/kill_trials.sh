#!/bin/sh
# Kills training processes while they write checkpoints, on lavapipe, and resumes from what they leave.
# Options go to `endurance kill`: --trials N, --seed N, --window MILLISECONDS, --out FOLDER, and --fresh-pids, which makes
# each of the processes process 1 of a pid namespace, as in a container that is started again (Linux, as root).
set -eu

cd -- "$(dirname -- "$0")/.."
scripts/adapters.sh need tools lavapipe
exec scripts/adapters.sh run "${CARGO:-cargo}" run --locked --release --example endurance -- --adapter llvmpipe kill "$@"
