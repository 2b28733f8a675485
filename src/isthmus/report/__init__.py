"""The page of a run: one HTML file that holds everything it shows, runs nothing and asks nobody for anything.

Read in this order:

    page       the sheet: its style, its sections, tables and pictures
    measured   what an evaluation found, as sections
    trained    what was trained, how that went, and how to use it
    run        all of it about a run, written
"""

from isthmus.report.run import write_report

__all__ = ["write_report"]
