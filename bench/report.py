"""What the benchmarks measured, as JSON, a table, plots, and in the page of the documentation."""

import json
import re

import plot

MAPPINGS = [10, 100, 1000, 10000, 60000]
HELD = [10, 50, 200, 1000, 5000, 20000]
THREADS = [1, 2, 4, 8]
MODULES = 8
ITEMS_OF_A_LOCATOR = 203
STARTS_KEY = "two threads that start at once"


class Figures:
    """The figures of one run, by key, peer and name."""

    def __init__(self, results):
        self.figures = results["figures"]

    def of(self, key, peer="nearbuf", name="ns", statistic="median"):
        return self.figures.get(key, {}).get(peer, {}).get(name, {}).get(statistic)

    def series(self, keys, names, name="ns"):
        """Points for a plot, by the name of each line, of all peers that have any."""
        found = {}
        for label, (peer, of_peer) in names.items():
            points = [(x, self.of(key, peer, of_peer or name)) for x, key in keys]
            points = [(x, y) for x, y in points if y is not None]
            if points:
                found[label] = points
        return found


def lines_of(*peers):
    return {peer: (peer, None) for peer in peers}


def write_plots(figures, folder):
    mappings = [(n, f"region, {n} mappings") for n in MAPPINGS]
    plot.write(folder / "regions.svg", "A new region near the code: map and unmap", "mappings",
               "ns", figures.series(mappings, lines_of("nearbuf", "reference", "mmap", "bump")))
    places = [(n, f"place, {n} mappings") for n in MAPPINGS]
    plot.write(folder / "places.svg", "Placing 64 bytes near the code", "mappings", "ns",
               figures.series(places, lines_of("nearbuf", "bump")))
    held = [(n, f"one more, {n} held") for n in HELD]
    plot.write(folder / "held.svg", "One more buffer", "buffers held", "ns",
               figures.series(held, lines_of("nearbuf", "reference")))
    locators = [(-(-n // ITEMS_OF_A_LOCATOR), key) for n, key in held if n >= ITEMS_OF_A_LOCATOR - 3]
    plot.write(folder / "locators.svg", "With locators full of held buffers", "locators", "ns",
               figures.series(locators, {"get+release": ("nearbuf", "warm_ns"),
                                         "place": ("nearbuf", "place_ns"),
                                         "one more": ("nearbuf", "ns"),
                                         "ref. get+rel.": ("reference", "warm_ns")}))
    threads = [(n, f"get and release, {n} threads") for n in THREADS]
    plot.write(folder / "threads.svg", "Get and release in several threads", "threads",
               "million per second", figures.series(threads, lines_of("nearbuf", "reference", "bump"),
                                                    "million_per_second"))


def number(value):
    if value is None:
        return "–"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def write_table(results, names, path):
    machine, figures = results["machine"], Figures(results)
    lines = [f"Medians in ns. {machine['processor']}, {machine['processors']} processors, kernel "
             f"{machine['kernel']}, commit {machine['commit']}.", "",
             "| work | " + " | ".join(names) + " | reference / nearbuf |",
             "| --- |" + " ---: |" * (len(names) + 1)]
    for key, of_key in results["figures"].items():
        if "ns" not in of_key.get("nearbuf", of_key.get("bump", {})):
            continue
        values = [figures.of(key, peer) for peer in names]
        ours, theirs = figures.of(key), figures.of(key, "reference")
        ratio = f"{theirs / ours:,.1f}" if ours and theirs else "–"
        lines.append(f"| {key} | " + " | ".join(map(number, values)) + f" | {ratio} |")
    skipped = "; ".join(f"{peer}: {why}" for peer, why in results["skipped"].items())
    lines += ["", f"Not measured: {skipped or 'nothing'}."]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(path.read_text(encoding="utf-8"))


def write(results, names, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    write_plots(Figures(results), folder)
    write_table(results, names, folder / "table.md")


# ---- The page ------------------------------------------------------------------------------------


def goal_rows(results):
    """What was to be reached: the work, the goal, what was measured, whether that is within it."""
    figures = Figures(results)

    def at_most(work, goal, value, limit, text=None):
        shown = text or number(value)
        return work, goal, shown, "–" if value is None else value <= limit

    def over_bump(work, limit):
        ours, bump = figures.of(work), figures.of(work, "bump")
        over = None if ours is None or bump is None else ours - bump
        return at_most(work, f"bump + {limit}", over, limit,
                       None if over is None else f"{number(ours)}: bump {over:+.1f}")

    def ratio(work, goal, value, other, limit, is_least=False):
        if not value or not other:
            return work, goal, "–", "–"
        share = value / other
        text = f"{number(value)}, of {number(other)}: {share:.2f} ×"
        return work, goal, text, share >= limit if is_least else share <= limit

    def milliseconds(value):
        return None if value is None else f"{value / 1e6:.1f} ms"

    def microseconds(value):
        return None if value is None else f"{value / 1e3:,.0f} µs"

    def twice(value):
        return value and 2 * value

    def drop_in(work, key, limit, name="ns", is_least=False):
        return ratio(f"drop-in: {work}", f"{limit} × the Rust library", figures.of(key, "drop-in", name),
                     figures.of(key, "reference", name), limit, is_least)

    two = "get and release, 2 threads"
    rate = "million_per_second"
    wall, none = "place 64 bytes, wall", "place 64 bytes, none"

    def regions(peer):
        values = [figures.of(f"region, {n} mappings", peer) for n in MAPPINGS]
        return [value for value in values if value is not None]

    def span(values):
        return f"{min(values) / 1e3:.1f} … {max(values) / 1e3:.1f}" if values else "–"

    ours, bare = regions("nearbuf"), regions("bump")
    kib, mappings = figures.of(none, name="kib"), figures.of(none, name="mappings")
    text = results["text_bytes"]
    rows = [
        ratio("get(4096) + release, warm", "2 × a bare compare-and-swap with store",
              figures.of("get and release"), figures.of("get and release", "bump"), 2),
        ratio("the same, two threads, million/s", "0.9 × bare ones on separate lines",
              figures.of(two, name=rate), figures.of(two, "bump", rate), 0.9, is_least=True),
        ratio("two threads that start at once, the worst start, million/s",
              "0.75 × twice one thread", figures.of(STARTS_KEY, name=rate, statistic="least"),
              twice(figures.of("get and release, 1 threads", name=rate)), 0.75, is_least=True),
        over_bump(none, 15), over_bump("place 64 bytes, scattered", 15), over_bump(wall, 25),
        at_most("the first one behind the wall", "10 ms", figures.of(wall, name="first_ns"), 10e6,
                milliseconds(figures.of(wall, name="first_ns"))),
    ]
    for layout, limit in (("none", 300), ("scattered", 1000), ("wall", 5000)):
        work = f"room for 4096 bytes, {layout}"
        rows.append(at_most(work, number(limit), figures.of(work), limit))
    rows += [
        at_most(f"a region, map and unmap, {MAPPINGS[0]} … {MAPPINGS[-1]:,} mappings", "5 µs",
                max(ours, default=None), 5000, f"{span(ours)} µs; the bare calls {span(bare)}"),
        ("memory for 10,000 × 64 bytes", "704 KiB, 2 mappings",
         f"{number(kib)} KiB, {mappings} mapping{'s' if mappings != 1 else ''}",
         kib is not None and kib <= 704 and mappings <= 2),
    ]
    for dead, limit in ((0, 60e3), (10000, 200e3)):
        value = figures.of(f"first call, {dead} dead files")
        rows.append(at_most(f"the first call, {dead:,} dead files", microseconds(limit), value, limit,
                            microseconds(value)))
    rows += [
        ratio("one more buffer while 5,000 are held", "2 × the cost while 50 are held",
              figures.of("one more, 5000 held"), figures.of("one more, 50 held"), 2),
        ratio("append 16 bytes", "not slower than the reference", figures.of("append 16 bytes"),
              figures.of("append 16 bytes", "reference"), 1),
        drop_in("get and free, warm", "get and release", 0.45),
        drop_in("the same, two threads that start at once, million/s", STARTS_KEY, 5, rate, True),
        drop_in("append 16 bytes", "append 16 bytes", 0.7),
        drop_in("first call, ns", "first call, 0 dead files", 0.8),
        at_most("text of the library", "81,920 bytes", text, 81920, text and f"{text:,} bytes"),
    ]
    return rows


def goals(results):
    verdicts = {True: "reached", False: "not reached"}
    lines = ["| work | goal | this run | |", "| --- | --- | --- | --- |"]
    for work, goal, value, is_reached in goal_rows(results):
        lines.append(f"| {work} | {goal} | {value} | {verdicts.get(is_reached, is_reached)} |")
    return lines


def machine(results):
    it = results["machine"]
    return [f"{it['processors']} processors of an {it['processor']}, Linux {it['kernel']},",
            f"load {it['load']:.1f} before the start, commit {it['commit']}."]


def pages(results):
    figures = Figures(results)
    touch = "first touch of a page"
    one, many = figures.of(touch, "bump"), figures.of(touch, "bump", "at_once_ns")
    populated = "place 64 bytes, populated"
    return [f"A first touch of a page took {number(one)} ns in this run, a page of 16 that are populated in",
            f"one call {number(many)}. Placing 64 bytes took {number(figures.of('place 64 bytes, none'))}"
            f" ns, and {number(figures.of(populated))} where regions",
            "were populated as they were mapped."]


def modules(results):
    figures = Figures(results)
    key = f"{MODULES} modules"
    lines = ["| | asked for, KiB | mapped, KiB | used | mappings | ns for each |",
             "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for peer in ("nearbuf", "reference"):
        names = ("asked_kib", "committed_kib", "used_share", "mappings", "modules_ns")
        asked, mapped, used, mappings, each = (figures.of(key, peer, name) for name in names)
        share = "–" if used is None else f"{used:.0%}"
        lines.append(f"| {peer} | {number(asked)} | {number(mapped)} | {share} | {mappings} | "
                     f"{number(each)} |")
    return lines


def write_page(results, path):
    """Writes what stands between the markers of the page anew."""
    page = path.read_text(encoding="utf-8")
    for block in (machine, goals, pages, modules):
        begin, end = f"<!-- measured: {block.__name__} -->\n", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        text = begin + "\n".join(block(results)) + "\n" + end
        page, count = pattern.subn(lambda _, text=text: text, page)
        if count != 1:
            raise SystemExit(f"{path}: no place for {block.__name__}")
    path.write_text(page, encoding="utf-8")
