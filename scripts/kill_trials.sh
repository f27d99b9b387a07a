#!/bin/sh
# Kills training processes while they write checkpoints, on lavapipe, and resumes from what they leave.
# Options go to `endurance kill`: --trials N, --seed N, --window MILLISECONDS, --out FOLDER.
set -eu

cd -- "$(dirname -- "$0")/.."
scripts/adapters.sh need tools lavapipe
exec scripts/adapters.sh run "${CARGO:-cargo}" run --locked --release --example endurance -- --adapter llvmpipe kill "$@"
