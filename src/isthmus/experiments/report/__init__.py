"""The report of a run: one self-contained HTML file, without scripts and without requests to other sites.

Reading order:

    html       the page: style, sections, tables and figures
    metrics    sections with the results of an evaluation
    training   sections on configuration, training and usage
    write      the whole page, written to a file
"""

from isthmus.experiments.report.write import write_report

__all__ = ["write_report"]
