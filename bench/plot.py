"""Line plots as SVG, without anything that would have to be installed."""

import math

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 80, 110, 40, 50
COLOURS = ["#0b62a4", "#c4442e", "#3c8d40", "#8e5bb5", "#b8860b"]


def label(value):
    """1500000 as 1.5M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def decades(values):
    """The powers of ten around the values: at least one decade."""
    low = math.floor(math.log10(min(values)))
    high = math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def write(path, title, x_name, y_name, series):
    """Writes one plot; both axes are logarithmic. `series` maps a name to points (x, y)."""
    points = [point for of_one in series.values() for point in of_one]
    if not points:
        return
    x_low, x_high = decades([x for x, _ in points])
    y_low, y_high = decades([y for _, y in points])

    def place_x(value):
        share = (math.log10(value) - x_low) / (x_high - x_low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def place_y(value):
        share = (math.log10(value) - y_low) / (y_high - y_low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" '
        f'text-anchor="middle">{x_name}</text>',
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{y_name}</text>',
    ]
    for power in range(x_low, x_high + 1):
        x = place_x(10.0**power)
        parts.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" '
                     f'text-anchor="middle">{label(10.0**power)}</text>')
    for power in range(y_low, y_high + 1):
        y = place_y(10.0**power)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" '
                     f'text-anchor="end">{label(10.0**power)}</text>')
    for colour, (name, of_one) in zip(COLOURS, series.items()):
        line = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in of_one)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in of_one:
            parts.append(f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3" '
                         f'fill="{colour}"/>')
        x, y = of_one[-1]
        parts.append(f'<text x="{place_x(x) + 8:.1f}" y="{place_y(y) + 4:.1f}" '
                     f'fill="{colour}">{name}</text>')
    path.write_text("\n".join(parts + ["</svg>"]) + "\n", encoding="utf-8")
