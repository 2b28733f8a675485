"""The limits of a server."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The limits of a server, for all of its models.

    Attributes:
        max_body_bytes: of the body of a request, as it is sent.
        max_decompressed_bytes: of the body of a request, after decompression.
        max_json_bytes: of the JSON text of a request; larger tensors are sent in the binary form.
        max_held_bytes: of the bodies, inputs and outputs of all requests at the same time; at least four of the largest bodies.
        max_rows: of a request.
        max_values: of the inputs of a request, and of its outputs; it limits the rows of large examples.
        max_in_flight: requests that are read, wait or are computed at the same time, of all models.
        max_queued: requests of a model that wait for their computation.
        request_seconds: for reading a body; for waiting and computing; for each part of an answer that a client reads.
        batch_wait_ms: for which a free model waits for more requests, after requests came together; 0: it never waits.
        max_batch_rows: that are computed together.
        threads: computations of one model at the same time.
    """

    max_body_bytes: int = 64 * 2**20
    max_decompressed_bytes: int = 64 * 2**20
    max_json_bytes: int = 16 * 2**20
    max_held_bytes: int = 512 * 2**20
    max_rows: int = 65_536
    max_values: int = 2**24
    max_in_flight: int = 512
    max_queued: int = 256
    request_seconds: float = 30.0
    batch_wait_ms: float = 1.0
    max_batch_rows: int = 1024
    threads: int = 1

    def most_rows(self, values: int) -> int:
        """The rows that a request may have.

        Args:
            values: of one row.
        """
        return max(1, min(self.max_rows, self.max_values // max(1, values)))
