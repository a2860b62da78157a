#!/bin/sh
# The words nearest to a concept that is given by examples: the examples' vectors added up, other spellings of one word
# taken together.
# concept.sh WORD WORD …
set -eu
sum=$(printf ' + %s' "$@")

llminspect embed --analogy "${sum# +}" --nearest 60 --words --exclude-inputs --json |
    jq -r --arg words "$*" '
        def fixed(n): (. * pow(10; n) | round) as $r | ($r | fabs | tostring | ("0000" + .)[-([length, n + 1] | max):])
            | (if $r < 0 then "-" else "" end) + .[:-n] + "." + .[-n:];
        def plain: ascii_downcase | ltrimstr(" ") | rtrimstr("s");
        ($words | split(" ") | map(plain)) as $given
        | reduce (.nearest[] | select(.text | plain | IN($given[]) | not)) as $found
            ([]; if any(.text | plain == ($found.text | plain)) then . else . + [$found] end)
        | .[:10][] | "\(.cosine | fixed(3))  \(.text | ltrimstr(" "))"'
