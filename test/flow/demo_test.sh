#!/bin/bash
# `make demo`, without setup and build: it comes to its end within 30 s, leaves nothing running, and
# prints no secret.
set -euo pipefail
# shellcheck source=test/flow/live_lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/live_lib.sh"

from=$SECONDS
check_status "the demo does what it says" 0 "$root/scripts/demo" "$build"
check "within 30 s" test $((SECONDS - from)) -le 30
says "Done in"
says "proven: Lantern, Acme"
says "claimed: Lantern"
says "handshake done"
says "$build/demo/label.png"
cp out first
pop=$(sed 's/.*;P:\(.*\);;/\1/' "$build/demo/scanned.txt")
check "its label holds a proof of possession" test "${#pop}" -ge 4
check "which it did not print" sh -c "! grep -q '$pop' first"
check "the board has ended" sh -c "! kill -0 $(cat "$build/demo/board.pid")"
check_status "it can be run again" 0 "$root/scripts/demo" "$build"
check_status "help" 0 "$root/scripts/demo" --help
check_status "an unknown option" 2 "$root/scripts/demo" --no-such

finish
