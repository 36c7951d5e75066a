"""Draws the drain and the emit of results.json; run by an environment that has matplotlib."""
# mypy: ignore-errors
# pyright: basic

import json
import statistics
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def medians(rounds, quantity) -> dict[str, float]:
    """Return the median of *quantity* for each contestant, the largest last."""
    names = {name for each in rounds for name in each}
    found = {
        name: statistics.median(each[name][quantity] for each in rounds if name in each)
        for name in names
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def bars(axes, values, title, unit) -> None:
    """Draw horizontal bars, ours in a colour of its own."""
    colours = ["#c8553d" if name.startswith("trailhouse") else "#8d99ae" for name in values]
    drawn = axes.barh(list(values), list(values.values()), color=colours)
    axes.bar_label(
        drawn,
        labels=[f" {value:,.0f}" if value >= 100 else f" {value:.1f}" for value in values.values()],
    )
    axes.set_title(title, loc="left")
    axes.set_xlabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)


def main(results_path: str, image_path: str) -> None:
    """Draw what results.json holds of the two."""
    results = json.loads(Path(results_path).read_text(encoding="utf-8"))
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
    if "drain" in results:
        bars(
            left,
            medians(results["drain"]["rounds"], "events_per_second"),
            "Worker drain",
            "events/s, more is better",
        )
    if "emit" in results:
        rounds = results["emit"]["modes"]["one_thread"]
        bars(
            right,
            medians(rounds, "cpu_us_per_event"),
            "Emit, one thread",
            "CPU µs an event, less is better",
        )
    figure.savefig(image_path, dpi=110)


main(*sys.argv[1:])
