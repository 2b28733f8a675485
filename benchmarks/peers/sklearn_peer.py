"""scikit-learn's MLPRegressor from the pixels to themselves: squared error, Adam, no code activation of its own choosing."""

from __future__ import annotations

import warnings

from common import Timer, Work, data, main
from sklearn.neural_network import MLPRegressor


def train(work: Work, timer: Timer) -> float:
    """Trains; the loss of the last epoch is half the mean squared error."""
    warnings.simplefilter("ignore")
    X = data().reshape(-1, 784).astype("float32") / 255
    sizes = (*work.hidden, work.code, *work.hidden[::-1])
    net = MLPRegressor(
        hidden_layer_sizes=sizes,
        batch_size=work.batch,
        learning_rate_init=work.lr,
        max_iter=1,
        warm_start=True,
        alpha=0.0,
    )
    timer.begin()
    for _ in range(work.epochs):
        net.fit(X, X)
        timer.epoch()
    return float(net.loss_)


if __name__ == "__main__":
    main(train)
