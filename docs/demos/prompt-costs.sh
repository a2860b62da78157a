#!/bin/sh
# What a folder of prompts costs: one line for each file, the most expensive first, and the sum.
# prompt-costs.sh FOLDER [MODEL] [PRICE PER MILLION TOKENS]
set -eu
folder=$1 model=${2:-o200k_base} price=${3:-2.50}

for file in "$folder"/*; do
    llminspect tokenize --file "$file" --count --model "$model" --cost "$price" --json |
        jq --arg file "${file##*/}" '{file: $file, count, cost: .cost.total}'
done |
    jq -rs --arg model "$model" '
        def left(n): (. + " " * n)[:n];
        def right(n): (" " * n + tostring)[-n:];
        def fixed(n): (. * pow(10; n) | round) as $r | ($r | fabs | tostring | ("0000" + .)[-([length, n + 1] | max):])
            | (if $r < 0 then "-" else "" end) + .[:-n] + "." + .[-n:];
        "\("prompt" | left(25)) \("tokens" | right(7))  1,000 calls",
        (sort_by(-.count)[], {file: "together, by \($model)", count: (map(.count) | add), cost: (map(.cost) | add)}
            | "\(.file | left(25)) \(.count | right(7))  \(.cost * 1000 | fixed(4))")'
