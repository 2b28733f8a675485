"""The model card of a run: Markdown with the metadata header of the Hugging Face hub. What is not known is said.

Reading order:

    markdown   headings, tables and code in Markdown, with escaped text
    facts      what is known of a model: the estimator, its data, its evaluation, its file
    metadata   the header in YAML
    use        the sections on use, intended use and limits
    spread     the spread over random states, of a run in a sweep
    sections   the other sections
    writing    the card as a file, or as a folder with model and ONNX files
"""

from isthmus.experiments.card.facts import Facts, gather
from isthmus.experiments.card.writing import Written, card, write_card, write_folder

__all__ = ["Facts", "Written", "card", "gather", "write_card", "write_folder"]
