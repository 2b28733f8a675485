"""Images in their files as a source of batches: threads in the background decode those that are needed next."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isthmus.data.images.decoder import n_threads
from isthmus.data.images.headers import ignore_pillow_warnings
from isthmus.data.images.image_files import ImageFiles
from isthmus.training.batches import Source, to_tensor

__all__ = ["FileSource"]


class FileSource(Source):
    """Images that are decoded from their files. Threads decode those that are announced; they end when reading stops.

    The number of threads does not change what is read.
    """

    def __init__(self, images: ImageFiles, device: torch.device) -> None:
        self.images, self.device = images, device
        self.pool: ThreadPoolExecutor | None = None
        self.waiting: dict[int, Future[NDArray[np.generic]]] = {}  # by index

    @property
    def decodes(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Tensor) -> Tensor:
        rows = index.tolist()
        if not self.waiting.keys() & set(rows):
            return to_tensor(np.asarray(self.images[index.cpu().numpy()])).to(self.device)
        images = np.empty((len(rows), *self.images.shape[1:]), self.images.dtype)
        for place, row in enumerate(rows):
            decoding = self.waiting.pop(row, None)
            images[place] = self.images[row] if decoding is None else decoding.result()
        return to_tensor(images).to(self.device)

    def prefetch(self, index: Tensor) -> None:
        if self.pool is None:
            ignore_pillow_warnings()
            self.pool = ThreadPoolExecutor(n_threads(), "isthmus images")
        for row in index.tolist():
            if row not in self.waiting:
                self.waiting[row] = self.pool.submit(self.images.__getitem__, row)

    def stop_prefetch(self) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)
        self.pool, self.waiting = None, {}
