"""Widgets for notebooks: pip install 'isthmus[notebook]'.

Read in this order:

    display   what a widget draws of an example: pixels, curves, or the values of columns
    sliders   the widget: sliders for the dimensions of the code, and the decoded example
    explorer  explore makes it for an autoencoder and examples

The files explore.js and explore.css draw the widget. They load nothing from elsewhere.
"""

from isthmus.widgets.explorer import explore

__all__ = ["explore"]
