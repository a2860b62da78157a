"""Arrays and labels become rich renderables. Nothing here knows a model.

Every function takes token text as it is: what a terminal would obey is shown instead (`safe.visible`). What is
returned adapts to the width and the colours of the console that prints it.

    safe         visible(text, spaces=False) -> str                    text from strangers, made printable
                 label(text) -> str    the same for the label of a row, bar or point: spaces at its ends are ·
                 width(text) · shorten(text, cells) · fit(text, cells, align)
    numbers      number(x, digits=4) · column(values, digits=4) · vector(values, limit=8) · matrix(values, limit=8)
                 shape(sizes) · count(n) · percent(p, decimals=1) · duration(seconds) · byte_size(n)      -> str
    table        table(columns, rows, *, title, note, strong) · Column(name, align, digits, spaces, quiet);
                 a column that is None is left out
                 key_values(pairs)
    screens      screens(title, body, console, height)     what is longer than a screen, its heading on each
    trimmed      Trimmed(rendering)                        without the spaces at the ends of its lines
    section      section(title, *body, note) · page(parts) · beside(left, right)
                 steps([(name, formula, with numbers, …, result), …], *, title, note)      aligned on =
                 Drawn(draw, *, title, least): what `draw` gives for the console that prints it
    token_strip  token_strip(texts, kinds=None, *, ids)       kinds: "text", "special", "partial", "template"
                 value_strip(texts, values, *, scale, limits, numbers, name)    surprisal, saliency
    heatmap      heatmap(matrix, row_labels=None, column_labels=None, *, title, scale="sequential"|"diverging", limits,
                         fold="mean"|"max"|"extreme"|"thin", row_name, column_name, value_name, masked, numbers,
                         marks, max_rows)
                 head_map(values_LH, *, title, scale, limits, value_name, marks, numbers, max_rows)
    bars         probability_bars(labels, probabilities, *, numbers, maximum, strong, title)
                 signed_bars(labels, values, *, numbers, title)
                 sparkline(values, *, limits) -> Text · spark_row(lead, values, trail) · bar(share, cells) -> str
                 BarCell(share, cells) in a table · histogram(values, *, title, name, bins, height, limits)
    tree         branch_tree(root, [Branch(text, probability, children, chosen), …], *, title)
    wires        wires(ranks, [[Wire(source, target, value, port), …], …], most)    a layered graph, its edges drawn
    plot         scatter(points_N2, labels, *, axes, groups, title, height)
    picture      svg(rendering, width, theme) · html(…) · text(rendering, width) -> str;  png.png(…) -> bytes;
                 cells.shapes(…): what they draw;  notebook(rendering, width) -> str
    theme        the ramps and styles; has_colors(console)

`limits` is (low, high), "robust" or None. (`ramp_key` and `grid` are parts of the above.)
"""
