"""PyOD's autoencoder: squared error, its own loop."""

from __future__ import annotations

import time

from common import Timer, Work, data, main
from pyod.models.auto_encoder import AutoEncoder


def train(work: Work, timer: Timer) -> float:
    """Trains; all epochs are timed as one, since it has no callback. The loss is the mean squared error."""
    X = data().reshape(-1, 784).astype("float32") / 255
    detector = AutoEncoder(
        preprocessing=False,
        lr=work.lr,
        epoch_num=work.epochs,
        batch_size=work.batch,
        hidden_neuron_list=[*work.hidden, work.code],
        batch_norm=False,
        dropout_rate=0.0,
        verbose=0,
        optimizer_params={},
    )
    losses: list[float] = []
    step = detector.training_forward

    def noted(batch: object) -> float:
        losses.append(float(step(batch)))
        return losses[-1]

    detector.training_forward = noted
    score = detector.decision_function_seconds = 0.0
    whole = detector.decision_function

    def scored(*args: object) -> object:
        nonlocal score
        began = time.perf_counter()
        result = whole(*args)
        score += time.perf_counter() - began
        return result

    detector.decision_function = scored  # fit scores all rows at its end: that is no training
    timer.begin()
    detector.fit(X)
    timer.epoch()
    each = (timer.seconds.pop() - score) / work.epochs
    timer.seconds += [each] * work.epochs
    last = losses[-(len(losses) // work.epochs) :]
    return sum(last) / len(last)


if __name__ == "__main__":
    main(train)
