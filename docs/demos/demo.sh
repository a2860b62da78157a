#!/bin/sh
# The six steps from text to text, on one sentence and a real model; then the whole way, with the sums by hand.
set -eu
text=${1:-Alice gave Bob her book}

bold='' plain=''
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi

step() {
    printf '\n%s$ llminspect' "$bold"
    for argument in "$@"; do
        case $argument in *[!a-zA-Z0-9.=/_-]*) printf ' "%s"' "$argument" ;; *) printf ' %s' "$argument" ;; esac
    done
    printf '%s\n' "$plain"
    llminspect "$@"
}

step tokenize "$text"
step encode "$text"
step embed "$text"
step attend "$text"
step forward "$text"
step generate "$text" --max-tokens 12
step walk "$text" --no-pause
step forward "The capital of France is" --patch "The capital of Italy is" --target " Rome"

printf '\nWhat each step means: docs/README.md. What else there is: llminspect --help (make demo puts it into .venv/bin).\n'
