"""Bulk use: a model applied to tables in many files, by several processes or by Ray. Each row is in the results exactly once.

A task is some row groups of one file, and its result is one Parquet file, whose name is a hash of everything that it depends on.

Modules in reading order:

    job          what is computed, with which model: one record for all tasks
    inputs       the files that are read: their blocks, their columns, their rows
    tasks        the division of files into tasks
    outputs      the files of results: their record, their checksums, what else is in the folder
    computation  the contract of a model that computes the results of rows
    marks        cells of tables that mean a missing value
    column_types  the types of columns, as the reader of one file gives them
    exported     an exported folder as a computation, without PyTorch
    live         a run or a detector as a computation
    opening      a path as a computation
    work         one task: rows are read, computed and written
    worker       the process that does tasks
    local        processes of this machine
    ray_engine   Ray
    bulk_result  what came of all tasks
    progress     rows, rate and time left
    driver       all tasks, from the plan to the result
"""

from isthmus.scaleout.bulk_result import BulkResult
from isthmus.scaleout.driver import run

__all__ = ["BulkResult", "run"]
