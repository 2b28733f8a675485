"""The page of a run: one HTML file that holds everything it shows, runs nothing and asks nobody for anything.

Read in this order:

    html       the page: its style, its sections, tables and figures
    metrics    what an evaluation found, as sections
    training   what was trained, how that went, and how to use it
    write      all of it about a run, written
"""

from isthmus.experiments.report.write import write_report

__all__ = ["write_report"]
