"""docs/benchmarks.md from what was measured."""
import datetime
import os
import platform
import statistics

import bucket
import tools

WORDS = {
    "ingest": "first state stored",
    "again": "nothing changed",
    "edit": "edited state stored",
    "back": "folder made the first state again",
    "restore": "first state written to a new folder",
}


def document(results, versions, asked, args):
    """The whole report: a section a workload, a table a place; then what was asked of a bucket."""
    parts = [heading(versions, args)]
    for workload in dict.fromkeys(row["workload"] for row in results):
        parts.append(f"## {workload}\n")
        for place in dict.fromkeys(row["place"] for row in results):
            rows = [row for row in results if (row["workload"], row["place"]) == (workload, place)]
            parts += [f"### {workload}, in {place}\n", times(rows), cost(rows)]
    if asked:
        parts.append(requests(asked))
    return "\n".join(parts)


def heading(versions, args):
    with open("/proc/cpuinfo") as file:
        models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    machine = f"{os.cpu_count()} × {models[0] if models else platform.machine()}, Linux {platform.release()}"
    rounds = ", ".join(f"{number} in {place} at scale {scale:g}" for place, number, scale in args.places)
    lines = [
        "# Benchmarks\n",
        "Written by `benches/peers/run`: the same work by each tool in turn, on the same data, in one run. Times are medians of seconds; in",
        "brackets, how many times as long as the quickest form of dagset. A dash: the tool has no such step, or it failed.\n",
        f"{datetime.date.today()}; {machine}; rounds: {rounds}; "
        f"one of a tool whose steps took {args.enough} seconds or more. A step that took longer than {args.timeout} seconds failed.\n",
        "| tool | version |\n|---|---|",
        *[f"| {name} | {text} |" for name, text in versions],
        "",
    ]
    return "\n".join(lines)


def median(rows, tool, step, key):
    values = [row[key] for row in rows if (row["tool"], row["step"]) == (tool, step) and row[key] is not None]
    return statistics.median(values) if values else None


def times(rows):
    """Steps across, tools down."""
    names = list(dict.fromkeys(row["tool"] for row in rows))
    ours = {step: min((value for name in names if name.startswith("dagset") and (value := median(rows, name, step, "seconds")) is not None), default=None)
            for step in tools.STEPS}
    lines = ["| seconds | " + " | ".join(WORDS[step] for step in tools.STEPS) + " |", "|---" * (len(tools.STEPS) + 1) + "|"]
    for name in names:
        cells = []
        for step in tools.STEPS:
            value = median(rows, name, step, "seconds")
            ratio = f" ({value / ours[step]:.1f})" if value is not None and ours[step] else ""
            cells.append("–" if value is None else f"{value:.2f}{ratio}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cost(rows):
    """Processor, memory and bytes of each tool."""
    lines = ["| tool | CPU seconds: stored, edit | peak MB: stored, edit | bytes stored | by the edit |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(row["tool"] for row in rows):
        processor = [median(rows, name, step, "cpu") for step in ("ingest", "edit")]
        peak = [median(rows, name, step, "peak") for step in ("ingest", "edit")]
        first, both = (median(rows, name, step, "stored") for step in ("ingest", "edit"))
        added = None if first is None or both is None else both - first
        cells = [pair(processor, "{:.1f}"), pair([value and value / 1e6 for value in peak], "{:.0f}"), count(first), count(added)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def pair(values, form):
    return ", ".join("–" if value is None else form.format(value) for value in values)


def count(value):
    return "–" if value is None else f"{value:,.0f}"


def requests(asked):
    """Requests and bytes read at the server: steps across, tools down."""
    cells = {(row["tool"], row["step"]): row for row in asked}
    lines = ["## A twentieth of the labels, in a bucket\n", "Requests that an S3 server logged, and MB that it sent; one round.\n",
             "| requests (of these PUT or POST), MB read | " + " | ".join(bucket.WORDS[step] for step in bucket.STEPS) + " |", "|---" * (len(bucket.STEPS) + 1) + "|"]
    for tool in dict.fromkeys(row["tool"] for row in asked):
        found = [cells.get((tool, step)) for step in bucket.STEPS]
        lines.append(f"| {tool} | " + " | ".join("–" if row is None else one_cell(row) for row in found) + " |")
    return "\n".join(lines) + "\n"


def one_cell(row):
    verbs = row["verbs"]
    return f"{sum(verbs.values()):,} ({verbs.get('PUT', 0) + verbs.get('POST', 0):,}), {row['received'] / 1e6:.1f}"
