#!/bin/sh
# The heads that track a name: those that look from "her" to the name harder than other tokens do, and harder than
# "his" does in the same sentence; the mean over the names.
# name-heads.sh [NAME …]
set -eu
[ $# -gt 0 ] || set -- Alice Mary Emma Sarah

for name in "$@"; do
    llminspect attend "Yesterday $name gave Bob her book" --find "her->$name" \
        --control "Yesterday $name gave Bob his book" --json |
        jq -c --arg name "$name" '.find.heads[] | {name: $name, head: "\(.layer).\(.head)", excess, control_excess}'
done |
    jq -rs '
        def left(n): (. + " " * n)[:n];
        def fixed(n): (. * pow(10; n) | round) as $r | ($r | fabs | tostring | ("0000" + .)[-([length, n + 1] | max):])
            | (if $r < 0 then "-" else "" end) + .[:-n] + "." + .[-n:];
        "head   her − his   from her, name by name",
        (group_by(.head)
            | map({head: .[0].head, found: (map(.excess - .control_excess) | add / length),
                   each: (map("\(.name) \(.excess | fixed(2))") | join("  "))})
            | sort_by(-.found)[:6][]
            | "\(.head | left(6)) \(.found | fixed(2) | left(11)) \(.each)")'
