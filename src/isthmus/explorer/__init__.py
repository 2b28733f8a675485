"""The explorer page: a map of codes, sliders, examples and their reconstructions, in a browser, served from this machine alone.

Modules in reading order:

    view         how examples are drawn, and examples and columns as JSON
    pasted       a pasted row of a table
    disturbance  noise and hidden parts
    dimensions   the dimensions of a code, most important first
    background   what takes seconds, in threads
    maps         codes in two dimensions
    known        what is known of the held-out examples
    page_state   what the page has to know of a model
    explored     what the page asks of one model
    pages        the files of the page, and the headers of every answer
    routes       the routes of the page and of what it asks
"""

from isthmus.explorer.routes import routes

__all__ = ["routes"]
