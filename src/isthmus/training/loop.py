"""The training loop: a generator of reports. The caller prints, saves, plots or stops.

The order of examples depends only on (random_state, epoch), all noise only on (random_state, step). Losses stay on the device until
the next report. At a report, the `State` and the model determine the rest of the run. Resuming from a file gives bit-identical weights
to an uninterrupted run.

Where several processes have joined, each of them runs this loop on all examples, and takes part in every step (`isthmus.nn.processes`).
"""

from __future__ import annotations

import time

from isthmus.nn.device import enable_malloc_reuse
from isthmus.nn.processes import Processes
from isthmus.trainable import Trainable
from isthmus.training.batches import Source
from isthmus.training.config import TrainingConfig
from isthmus.training.divergence import DivergenceGuard
from isthmus.training.early_stopping import EarlyStopping
from isthmus.training.epochs import Epochs
from isthmus.training.joining import check_divisible, joined
from isthmus.training.state import Costs, Report, ReportEvery, Reports, State, end_run, report_due
from isthmus.training.step import Step

__all__ = ["train"]


def train(
    model: Trainable,
    examples: Source,
    config: TrainingConfig,
    validation: Source | None = None,
    every: ReportEvery = None,
    state: State | None = None,
) -> Reports:
    """Trains the model in place.

    With a patience, training stops when the validation loss has not improved for that many epochs; the best weights are restored at the
    end. If a loss or weight is not finite, training returns to the start of the epoch and continues with a fifth of the learning rate,
    three times at most.

    Args:
        model: the model to train.
        examples: training examples, in raw units.
        config: the settings of the run.
        validation: validation examples, or None.
        every: report also every so many steps, or after the steps for which this function returns True.
        state: the state to continue from, which is updated in place: of an earlier run, for a warm start, or of an interrupted one,
            to resume it. The schedule covers the steps of the current run.

    Yields:
        A report at the end of each epoch, and as `every` requires.

    Raises:
        DivergenceError: training diverged with the smallest learning rate too.
        LostProcessError: another process of this training has ended.
        NotPossibleError: several processes cannot train this model together.
    """
    processes = joined()
    check_divisible(model, config.batch_size, len(examples), processes)
    state = _prepared(model, config, State() if state is None else state)
    if state.step:  # of a checkpoint: what process 0 has read counts
        processes.copy_first([*model.state_dict().values(), *state.tensors()])
    stopping = EarlyStopping(model, validation, config, state, processes)
    guard = DivergenceGuard(model, examples, config, state, processes)
    batches = Epochs(examples, config.batch_size, config.random_state)
    steps, step = config.steps(len(examples)), Step(model, examples, config, state, processes)
    step.prepare()
    began = time.perf_counter() - state.seconds
    try:
        while state.done < steps and not stopping.should_stop:
            batch_index = state.done % batches.per_epoch
            if batch_index == 0:
                if processes.size > 1:
                    processes.copy_first(model.state_dict().values())
                guard.save_epoch_start()
            raw, index = batches.next(batch_index, state.epoch)
            progress = state.done / steps
            lr = config.optimizer.lr * config.optimizer.schedule(progress) * guard.lr_factor
            processes.wish = processes.size > 1 and report_due(every, state.done + 1)
            state.costs.add(step(raw, index, lr, progress))
            state.step, state.done = state.step + 1, state.done + 1
            complete = batch_index == batches.per_epoch - 1 or state.done == steps
            if not (complete or processes.wish or (processes.size == 1 and report_due(every, state.done))):
                continue
            means = _same(state.costs.means(), processes)
            if guard.recovered(means, raw, index, batch_index, steps):
                batches.restart()
                continue
            if complete:
                state.epoch, state.costs = state.epoch + 1, Costs()
            val_loss = stopping.validation_loss() if complete else None
            state.seconds = time.perf_counter() - began
            yield Report.of(state, steps, means, val_loss, lr, complete)
            step.prepare()
    finally:
        batches.restart()
        end_run(model, state)


def _prepared(model: Trainable, config: TrainingConfig, state: State) -> State:
    """The state with an optimizer and the number of threads."""
    state.threads = config.threads
    if state.optimizer is None:
        state.optimizer = config.optimizer.build(model.parameters())
    enable_malloc_reuse()
    return state


def _same(means: dict[str, float], processes: Processes) -> dict[str, float]:
    """The means of process 0, by which every process decides."""
    return dict(zip(means, processes.same(list(means.values())), strict=True))
