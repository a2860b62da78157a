#!/bin/sh
# Two prompts side by side: the next tokens whose probability differs most, of the 200 most probable of each.
# ab-test.sh PROMPT PROMPT [HOW MANY]
set -eu

printf '%s\n%s\n' "$1" "$2" |
    llminspect forward --lines --top 200 |
    jq -rs --argjson most "${3:-8}" '
        def left(n): (. + " " * n)[:n];
        def fixed(n): (. * pow(10; n) | round) as $r | ($r | fabs | tostring | ("0000" + .)[-([length, n + 1] | max):])
            | (if $r < 0 then "-" else "" end) + .[:-n] + "." + .[-n:];
        def percent: "\(. * 100 | fixed(1) | ("   " + .)[-5:]) %";
        "A: \(.[0].text)", "B: \(.[1].text)\n",
        "\("token" | left(12))       A         B     B − A (before they are rounded)",
        (map(.next | map({key: .text, value: .prob}) | from_entries) as [$a, $b]
            | ($a * $b | keys | map({token: ., a: ($a[.] // 0), b: ($b[.] // 0)}))
            | sort_by(-(.b - .a | fabs))[:$most][]
            | "\(.token | gsub(" "; "·") | left(12)) \(.a | percent | left(9)) \(.b | percent | left(9)) \(.b - .a | percent)")'
