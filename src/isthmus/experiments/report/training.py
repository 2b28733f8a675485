"""The sections of a report on configuration, training and usage."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.text import command, html_safe
from isthmus.training.state import Report

__all__ = ["configuration", "loss_history", "usage"]

_EPOCHS = 1000  # the largest number of rows in the table of losses


def configuration(ae: Autoencoder) -> str:
    """The components of the autoencoder as Python expressions, and facts about its training."""
    import torch

    from isthmus._version import __version__

    names = ("corruption", "architecture", "bottleneck", "likelihood", "scaling", "optimizer")
    rows = [(name.capitalize(), f"<code>{html_safe(repr(getattr(ae, f'{name}_')))}</code>") for name in names]
    rows += [
        ("Trainable parameters", f"{ae.n_parameters_:,}"),
        *([("Fixed weights", f"{ae.n_fixed_:,}, which training does not change")] if ae.n_fixed_ else []),
        ("Epochs", f"{len(ae.history_):,}, in {ae.seconds_:,.1f} seconds"),
        ("Precision", html_safe(f"{ae.precision_}, on {ae.model_.shift.device}")),
        ("Versions", f"isthmus {__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}"),
    ]
    lines = (f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in rows)
    return '<table class="configuration"><tbody>\n' + "\n".join(lines) + "\n</tbody></table>"


def loss_history(history: Sequence[Report]) -> str:
    """The losses in a sentence, and a table of all losses that is closed at first."""
    if not history:
        return "<p>There is no history of training.</p>"
    first, last = history[0], history[-1]
    text = f"The training loss was {last.loss:.4g} nats per example"
    if len(history) > 1:
        text = f"The training loss was {first.loss:.4g} nats per example in the first epoch and {last.loss:.4g} in the last"
    text += f"; the validation loss was {last.val_loss:.4g}." if last.val_loss is not None else "."
    stride = -(-len(history) // _EPOCHS)
    rows = [*history[:-1:stride], last]
    summary = "Losses of each epoch" if stride == 1 else f"Losses of every {stride} epochs"
    table = _losses(rows, any(r.penalty for r in history), any(r.val_loss is not None for r in history))
    return f"<p>{text}</p>\n<details><summary>{summary}, in nats per example</summary>\n{table}\n</details>\n"


def _losses(reports: Iterable[Report], parts: bool, valid: bool) -> str:
    """A table of losses, with columns for the parts of the loss and for the validation loss if there are any."""
    names = ["epoch", "loss"] + ["nll", "penalty"] * parts + ["validation"] * valid + ["learning rate", "seconds"]
    lines = []
    for r in reports:
        cells = [f"{r.epoch:,}", f"{r.loss:.6g}"]
        cells += [f"{r.nll:.6g}", f"{r.penalty:.6g}"] * parts
        cells += ["" if r.val_loss is None else f"{r.val_loss:.6g}"] * valid
        cells += [f"{r.lr:.3g}", f"{r.seconds:,.1f}"]
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(lines)
    return (
        f'<div class="wide"><table class="losses"><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
    )


def usage(folder: Path, ae: Autoencoder) -> str:
    """Three lines of Python and three shell commands."""
    user_defined = ae.architecture_.user_defined
    shape = ", ".join(("n", *map(str, ae.shape_)))
    python = [
        "import isthmus",
        f"ae = isthmus.load({str(folder)!r}{', architecture=Modules(encoder, decoder)' * user_defined})",
        f"codes, reconstructions = ae.encode(X), ae.reconstruct(X)  # X: an array ({shape})",
    ]
    shell = [
        command("isthmus", *words)
        for words in (("evaluate", folder), ("encode", folder, "--data", "mine.npy"), ("plot", folder, "latent"))
    ]
    blocks = [("In Python", python)] + [("On the command line", shell)] * (not user_defined)
    return "\n".join(
        f"<h3>{heading}</h3>\n<pre><code>{html_safe(chr(10).join(lines))}</code></pre>" for heading, lines in blocks
    )
