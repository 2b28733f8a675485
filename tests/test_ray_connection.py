"""The connection to Ray, with a stand-in for Ray: each failure is a sentence with its reason, and nothing is printed away."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from isthmus.errors import NotPossibleError
from isthmus.io.ray_cluster import connected


class RayError(Exception):
    pass


class AuthenticationError(RayError):
    pass


def fake_ray(error: Exception | None = None, printed: bytes = b"") -> Any:
    """A stand-in for the module, whose `init` prints to standard error and fails."""

    def init(**_: Any) -> None:
        os.write(2, printed)
        if error is not None:
            raise error

    exceptions = SimpleNamespace(RayError=RayError, AuthenticationError=AuthenticationError)
    return SimpleNamespace(init=init, is_initialized=lambda: False, shutdown=lambda: None, exceptions=exceptions)


def refusal(error: Exception, address: str | None) -> str:
    """The sentence for an error of Ray."""
    with pytest.raises(NotPossibleError) as raised, connected(fake_ray(error), address, None):
        pass
    return str(raised.value)


MISMATCH = (
    "Version mismatch: The cluster was started with:\n    Ray: 2.60.0\nThis process was started with:\n    Ray: 2.59.0"
)


def test_all_lines_of_a_reason_are_said_and_only_a_missing_cluster_is_called_missing() -> None:
    said = refusal(RuntimeError(MISMATCH), "auto")
    assert (
        "Ray at auto does not accept this process (Version mismatch: The cluster was started with: Ray: 2.60.0" in said
    )
    assert "This process was started with: Ray: 2.59.0)" in said
    assert "no Ray cluster" not in said
    missing = refusal(ConnectionError("Could not find\nany running Ray instance"), "auto")
    assert (
        "there is no Ray cluster at auto (Could not find any running Ray instance): start one with ray start" in missing
    )


def test_a_ray_that_does_not_start_on_this_machine_is_no_missing_cluster() -> None:
    said = refusal(RuntimeError("no space\nis left"), None)
    assert said == "Ray did not start on this machine (no space is left): use --engine local"


def test_errors_of_ray_itself_are_sentences() -> None:
    assert "Ray at auto does not accept this process (RayError)" in refusal(RayError(), "auto")


@pytest.mark.parametrize("host", ["host..name", "x" * 64 + ".org"])
def test_a_name_that_no_host_can_have_gets_a_sentence(host: str) -> None:
    assert f"there is no Ray cluster at {host}:6379 (" in refusal(AssertionError("not reached"), f"{host}:6379")


def test_what_ray_printed_before_an_unknown_error_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), connected(fake_ray(KeyError("x"), b"the reason\n"), "auto", None):
        pass
    assert capfd.readouterr().err == "the reason\n"
    with pytest.raises(NotPossibleError), connected(fake_ray(RuntimeError("x"), b"noise\n"), "auto", None):
        pass
    with connected(fake_ray(printed=b"noise\n"), "auto", None):
        pass
    assert capfd.readouterr().err == ""


def test_each_connection_has_its_own_settings_and_leaves_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep before bulk use in the same process does not decide how often its tasks are tried again."""
    monkeypatch.delenv("RAY_task_oom_retries", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    before = dict(os.environ)
    seen = []
    for tries in (None, 3, 5):
        with connected(fake_ray(), None, None, tries):
            seen.append((dict(os.environ).get("RAY_task_oom_retries"), os.environ["RAY_USAGE_STATS_ENABLED"]))
        assert dict(os.environ) == before
    assert seen == [(None, "1"), ("3", "1"), ("5", "1")]
    with pytest.raises(NotPossibleError), connected(fake_ray(RuntimeError("x")), None, None, 3):
        pass
    assert dict(os.environ) == before
