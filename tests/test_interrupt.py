"""Signals: noted once, raised once a batch, and never lost."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import pytest

from lightcnn import interrupt

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def restored():
    """The handlers of the test runner, which a process that ends by a signal does not get back."""
    before = {number: signal.getsignal(number) for number in CODES}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)
    interrupt._note.reset()


@pytest.mark.parametrize("number", CODES)
def test_a_signal_raises_at_once_outside_a_training(number, restored):
    with pytest.raises(KeyboardInterrupt), interrupt.handling():
        os.kill(os.getpid(), number)
        time.sleep(1)
    assert interrupt.exit_code() == CODES[number]


def test_a_signal_within_deferred_waits_for_the_check(restored):
    reached = []
    with pytest.raises(interrupt.Stopped), interrupt.handling(), interrupt.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        reached.append(True)
        interrupt.check()
        reached.append(False)
    assert reached == [True]
    assert interrupt.exit_code() == 143  # that of the first


def test_a_signal_that_a_destructor_dropped_is_raised_by_the_next_check(restored):
    class Tensor:
        pass

    tensor = Tensor()
    with interrupt.handling(), DroppedOnce():
        reference = weakref.ref(tensor, lambda _: os.kill(os.getpid(), signal.SIGINT))
        del tensor
        gc.collect()
        assert reference() is None
        with pytest.raises(interrupt.Stopped):
            interrupt.check()


class DroppedOnce:
    """Hides the line `Exception ignored in`, and asserts that there was one."""

    def __enter__(self):
        self.dropped, self.hook = [], sys.unraisablehook
        sys.unraisablehook = self.dropped.append

    def __exit__(self, *_):
        sys.unraisablehook = self.hook
        assert len(self.dropped) == 1


def test_a_second_signal_does_not_disturb_the_handling_of_the_first(restored):
    with interrupt.handling():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            interrupt.settle()
            signal.raise_signal(signal.SIGTERM)
        assert interrupt.exit_code() == 130


def test_handlers_are_restored_and_ignored_signals_stay_ignored(restored):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupt.handling():
        assert signal.getsignal(signal.SIGINT) != restored[signal.SIGINT]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) == restored[signal.SIGINT]
    assert signal.getsignal(signal.SIGTERM) == restored[signal.SIGTERM]


def test_only_the_main_thread_installs_handlers(restored):
    seen = []

    def run():
        with interrupt.handling():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [restored[signal.SIGINT]]


HANGING = """
import ctypes, threading, time
from lightcnn import interrupt
interrupt.PATIENCE_SECONDS = 0.3

def hang():
    with interrupt.deferred(), interrupt.reported(lambda: "resume with: [red]\\x1b[2J\\udcff\\x9b\\nX"):
        print("ready", flush=True)
        while True:
            HANG

with interrupt.handling():
    hang()
"""


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(0.01)",  # Python code that never checks
        "ctypes.CDLL(None).sleep(100)",  # C code that returns to Python after a signal only
        "threading.Event().wait()",
    ],
    ids=["python", "c", "lock"],
)
@pytest.mark.parametrize("number", CODES)
def test_a_later_signal_ends_a_process_that_hangs(hang, number):
    code = HANGING.replace("            HANG", f"            {hang}")
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    time.sleep(0.5)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == CODES[number]
    assert error == r"lightcnn: resume with: [red]\x1b[2J\udcff\x9b\nX" + "\n", "the message is escaped"


def test_a_signal_while_a_module_is_imported_waits_for_the_check(restored, tmp_path, monkeypatch):
    (tmp_path / "module_that_is_slow.py").write_text(
        "import os, signal\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException:\n    pass\n"
        "complete = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with interrupt.handling():
        import module_that_is_slow

        assert module_that_is_slow.complete
        with pytest.raises(interrupt.Stopped):
            interrupt.check()


def test_a_process_that_a_signal_ended_does_not_wait_for_its_threads():
    code = (
        "import os, signal, sys, threading, time\n"
        "from lightcnn import interrupt\n"
        "with interrupt.handling():\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(1)\n"
        "    except KeyboardInterrupt:\n"
        "        print('ended')\n"
        "interrupt.leave(interrupt.exit_code())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (child.returncode, child.stdout) == (143, "ended\n")


def test_signals_after_the_work_do_not_change_the_exit_code():
    code = (
        "import atexit, os, signal, time\n"
        "from lightcnn import interrupt\n"
        "with interrupt.handling():\n"
        "    pass\n"
        "atexit.register(lambda: [os.kill(os.getpid(), n) for n in (1, 2, 15)] and time.sleep(0.1))\n"
        "interrupt.leave(0)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (child.returncode, child.stderr) == (0, "")


def test_the_library_installs_no_handler():
    code = (
        "import signal; before = [signal.getsignal(n) for n in (1, 2, 15)]\n"
        "import lightcnn, lightcnn.cli.main, lightcnn.engine.loop\n"
        "print(before == [signal.getsignal(n) for n in (1, 2, 15)])"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"True\n"


def test_without_handlers_of_lightcnn_sigint_is_noted_until_the_end_of_the_block(restored):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []
    with pytest.raises(KeyboardInterrupt), interrupt.pausing() as paused:
        seen.append(paused())
        os.kill(os.getpid(), signal.SIGINT)
        seen.append(paused())
    assert seen == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with interrupt.pausing():
        pass


def test_a_second_sigint_ends_a_block_that_does_not_pause(restored):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), interrupt.pausing():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal does not raise")
