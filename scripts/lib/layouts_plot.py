# SPDX-License-Identifier: Apache-2.0
"""Draws the figure of the layouts experiment as SVG."""

COLOURS = {"A": "#c0392b", "B": "#e08e2b", "C": "#2b8a3e", "D": "#7048a8", "E": "#1c6fb8",
           "P": "#7f8c8d"}
MIXES = ["host", "device", "runs", "alternating", "rare", "random", "control"]
NAMES = {"host": "host only", "device": "device only", "runs": "runs of 256",
         "alternating": "alternating", "rare": "device 1 in 16",
         "random": "50/50 random", "control": "random pools, one kind"}
WIDTH, PANEL, LEFT, TOP = 1120, 200, 40, 64


def figure(rows, layouts, works):
    by = {(row["layout"], row["work"], row["mix"]): row["nsPerOp"] for row in rows}
    height = TOP + PANEL * len(works) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">'
        "One handle for two kinds of memory: ns per operation, by layout</text>"]
    for place, name in enumerate(layouts):
        x = LEFT + place * 180
        out.append(f'<rect x="{x}" y="34" width="11" height="11" fill="{COLOURS[name]}"/>')
        out.append(f'<text x="{x + 15}" y="44" font-size="11">{name} {short(layouts[name])}</text>')
    for place, (work, summary) in enumerate(works.items()):
        out += panel(by, list(layouts), work, summary, TOP + PANEL * place)
    return "\n".join(out + ["</svg>", ""])


def short(text):
    return text.split(",")[0].replace("`", "")


def panel(by, layouts, work, summary, top):
    values = {key: ns for key, ns in by.items() if key[1] == work}
    most = max(values.values()) * 1.12
    base, tall = top + PANEL - 34, PANEL - 66
    out = [f'<text x="{LEFT}" y="{top + 16}" font-weight="bold">{summary}</text>']
    step = next(size for size in (1, 2, 5, 10, 20, 50, 100) if most / size <= 5)
    for tick in range(0, int(most) + 1, step):
        y = base - tall * tick / most
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y:.1f}" y2="{y:.1f}" '
                   'stroke="#ddd"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" '
                   f'font-size="10">{tick}</text>')
    group = (WIDTH - LEFT - 12) / len(MIXES)
    wide = group * 0.84 / len(layouts)
    for place, mix in enumerate(MIXES):
        start = LEFT + group * place + group * 0.08
        for slot, layout in enumerate(layouts):
            ns = values.get((layout, work, mix))
            if ns is None:
                continue
            x, high = start + wide * slot, tall * ns / most
            out.append(f'<rect x="{x:.1f}" y="{base - high:.1f}" width="{wide - 2:.1f}" '
                       f'height="{high:.1f}" fill="{COLOURS[layout]}"/>')
            out.append(f'<text x="{x + wide / 2 - 1:.1f}" y="{base - high - 3:.1f}" '
                       f'text-anchor="middle" font-size="8">{ns:.1f}</text>')
        out.append(f'<text x="{LEFT + group * (place + 0.5):.1f}" y="{base + 15}" '
                   f'text-anchor="middle" font-size="11">{NAMES[mix]}</text>')
    return out
