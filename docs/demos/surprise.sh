#!/bin/sh
# Where a text surprises the model: its most surprising tokens, each with the text before it.
# surprise.sh FILE [HOW MANY]
set -eu

llminspect forward --file "$1" --surprise --json |
    jq -r --argjson most "${2:-6}" '
        def left(n): (. + " " * n)[:n];
        def fixed(n): (. * pow(10; n) | round) as $r | ($r | fabs | tostring | ("0000" + .)[-([length, n + 1] | max):])
            | (if $r < 0 then "-" else "" end) + .[:-n] + "." + .[-n:];
        def tenths: fixed(1);
        "perplexity \(.surprise.perplexity | tenths), \(.surprise.total_bits / .surprise.scored | tenths) bits per token\n",
        (.tokens as $tokens | .surprise.bits | to_entries | map(select(.value))
            | sort_by(-.value)[:$most][]
            | .key as $at
            | ($tokens[([0, $at - 6] | max):$at] | map(.text) | add | gsub("\n"; " ")) as $before
            | "\(.value | tenths | left(5)) bits  …\($before)[\($tokens[$at].text)]")'
