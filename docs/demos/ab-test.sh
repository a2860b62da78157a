#!/bin/sh
# Two prompts side by side: the next tokens whose probability differs most, of the 200 most probable of each.
# ab-test.sh PROMPT PROMPT [HOW MANY]
set -eu

printf '%s\n%s\n' "$1" "$2" |
    llminspect forward --lines --top 200 |
    jq -rs --argjson most "${3:-8}" '
        def left(n): (. + " " * n)[:n];
        def percent: "\(. * 1000 | round / 10) %";
        "A: \(.[0].text)", "B: \(.[1].text)\n",
        "\("token" | left(12)) \("A" | left(9)) \("B" | left(9)) B − A",
        (map(.next | map({key: .text, value: .prob}) | from_entries) as [$a, $b]
            | ($a * $b | keys | map({token: ., a: ($a[.] // 0), b: ($b[.] // 0)}))
            | sort_by(-(.b - .a | fabs))[:$most][]
            | "\(.token | gsub(" "; "·") | left(12)) \(.a | percent | left(9)) \(.b | percent | left(9)) \(.b - .a | percent)")'
