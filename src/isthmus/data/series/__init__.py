"""Series: long tables of rows in time, cut into windows, which are the examples.

Modules in reading order:

    window_array   overlapping windows of rows as one array of examples, cut when they are read
    split_in_time  parts of windows that follow each other in time and do not overlap
    rows           rows, times and machines from an array or a data frame
    stretches      runs of rows without a gap
    padding        stretches that are shorter than a window, padded with missing values
    window_notes   notes about windows, and about rows in none
    window_positions  the location of a value in a window, for messages
    windows        Windows: the windows of a series, and their results mapped back to its rows
    of_table       the windows of a table that was read from a file
"""
