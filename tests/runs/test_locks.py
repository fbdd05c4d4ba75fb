"""One process at a time, and a dead one holds nothing."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gan_lib.errors import RecordError
from gan_lib.runs.locks import Lock, holder, noted_holder

HOLD = """
import sys, time
from pathlib import Path
from gan_lib.runs.locks import Lock
lock = Lock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def another_process(path: Path) -> subprocess.Popen[str]:
    """A process that has taken a lock and keeps it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_held_until_it_is_released(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "run.lock")
    assert holder(lock.path) is None
    lock.acquire()
    assert holder(lock.path) == os.getpid()
    assert json.loads(lock.path.read_text()) == {"pid": os.getpid(), "host": socket.gethostname()}
    lock.release()
    lock.release()
    assert holder(lock.path) is None
    assert not lock.path.exists()


def test_another_object_of_the_same_process_takes_a_lock_over(tmp_path: Path) -> None:
    first, second = Lock(tmp_path / "run.lock"), Lock(tmp_path / "run.lock")
    first.acquire()
    second.acquire()
    first.release()  # has nothing left to release
    assert holder(second.path) == os.getpid()
    second.release()
    assert holder(second.path) is None


def test_another_process_is_refused_and_named_and_its_death_however_it_comes_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    process = another_process(path)
    assert holder(path) == process.pid
    with pytest.raises(RecordError) as caught:
        Lock(path).acquire()
    assert str(caught.value) == f"{tmp_path} is being written by process {process.pid}: wait for it, or stop it"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert path.exists(), "nobody tidied up"
    assert (holder(path), noted_holder(path)) == (None, process.pid)
    lock = Lock(path)
    lock.acquire()
    assert holder(path) == os.getpid()
    lock.release()


def test_a_number_that_a_living_process_got_meanwhile_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    os.utime(path, (2**33, 2**33))  # a clock that was set back since
    assert holder(path) is None
    Lock(path).acquire()
    assert holder(path) == os.getpid()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "1"}', '{"pid": -1}', '{"pid": 1e400}', "[" * 100_000])
def test_nonsense_in_a_lock_file_is_no_holder_and_no_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.lock"
    path.write_text(content)
    assert holder(path) is None
    assert noted_holder(path) is None
    lock = Lock(path)
    lock.acquire()
    lock.release()


@pytest.mark.usefixtures("no_hanging")
def test_a_lock_file_that_is_a_link_of_either_kind_or_a_pipe_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "run.lock"
    victim.write_text("precious")
    for link in (path.symlink_to, path.hardlink_to):
        link(victim)
        assert holder(path) is None
        with pytest.raises(OSError, match=r"run\.lock"):
            Lock(path).acquire()
        assert holder(path) is None
        assert victim.read_text() == "precious"
        path.unlink()
    os.mkfifo(tmp_path / "pipe.lock")
    assert holder(tmp_path / "pipe.lock") is None


def test_many_processes_at_once_and_one_gets_it(tmp_path: Path) -> None:
    code = HOLD.replace("time.sleep(60)", "sys.stdin.read()")
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "run.lock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(6)
    ]
    said = []
    for racer in racers:
        assert racer.stdout
        said.append(racer.stdout.readline())
    assert said.count(b"held\n") == 1
    for racer in racers:
        racer.communicate()


def test_a_full_disk_leaves_no_empty_lock_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = Lock(tmp_path / "run.lock")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            lock.acquire()
    assert list(tmp_path.iterdir()) == []
    lock.acquire()
    assert noted_holder(lock.path) == os.getpid()
    lock.release()
