"""Windows of a series as a source of batches."""

from __future__ import annotations

import torch
from torch import Tensor

from isthmus.data.memmap import release_pages
from isthmus.data.series.split_in_time import split_in_time
from isthmus.data.series.window_array import WindowArray
from isthmus.training.batches import Source, to_tensor

__all__ = ["WindowSource"]


class WindowSource(Source):
    """Windows of a series. Its rows are held on the device, or stay in their file; windows are cut as they are needed."""

    def __init__(self, windows: WindowArray, device: torch.device) -> None:
        self.windows, self.device = windows, device
        self.rows = None if windows.mode is not None else to_tensor(windows.rows).to(device)
        self.begins, self.places = torch.from_numpy(windows.begins), torch.arange(windows.length)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Tensor) -> Tensor:
        at = self.begins[index.cpu()][:, None] + self.places
        if self.rows is not None:
            return self.rows[at.to(self.device)]
        cut = to_tensor(self.windows.rows[at.numpy()]).to(self.device)
        release_pages(self.windows.rows)
        return cut

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The latest windows of each machine are held out, and those that share rows with them left out."""
        kept, held = map(torch.from_numpy, split_in_time(self.windows, [fraction]))
        return kept, held
