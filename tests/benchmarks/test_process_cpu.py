from __future__ import annotations

import os
import subprocess
import sys

from tests.benchmarks.process_cpu import (
    TICKS_PER_SECOND,
    CpuMeter,
    GroupCpu,
    ProcessUsage,
    all_processes,
    parse_stat,
)

LEADER = 100
#: Burns a tenth of a second of CPU time, then prints a line.
BURN = "import time\nwhile time.process_time() < 0.1: pass\n"


def process(
    process_id: int, seconds: float, *, parent: int = LEADER, session: int = LEADER, started: int = 1
) -> ProcessUsage:
    return ProcessUsage(
        process_id=process_id, parent_id=parent, session_id=session, started_at=started, seconds=seconds
    )


def leader(seconds: float) -> ProcessUsage:
    return process(LEADER, seconds, parent=1)


def seconds_after(*samples: list[ProcessUsage]) -> float:
    group = GroupCpu(LEADER)
    for sample in samples:
        group.update(sample)
    return group.seconds


def test_a_group_is_its_leader_and_the_processes_of_its_session() -> None:
    stranger = process(7, 50.0, parent=1, session=7)
    assert seconds_after([leader(1.0), process(101, 2.0), stranger]) == 3.0


def test_a_process_with_its_own_session_belongs_to_the_group_of_its_parent() -> None:
    grandchild = process(102, 4.0, parent=101, session=102)
    assert seconds_after([leader(1.0), process(101, 2.0), grandchild]) == 7.0


def test_a_child_that_its_parent_has_waited_for_counts_once() -> None:
    assert seconds_after([leader(1.0), process(101, 2.0)], [leader(3.5)]) == 3.5


def test_a_process_that_outlives_its_parent_counts_after_its_end() -> None:
    worker, task = process(101, 2.0), process(102, 4.0, parent=101)
    orphan = process(102, 5.0, parent=1)
    assert seconds_after([leader(1.0), worker, task], [leader(3.0), orphan], [leader(3.0)]) == 8.0


def test_an_orphan_that_has_left_the_session_still_counts() -> None:
    task = process(102, 4.0, session=102)
    orphan = process(102, 6.0, parent=1, session=102)
    assert seconds_after([leader(1.0), task], [leader(1.0), orphan]) == 7.0


def test_another_process_with_the_id_of_an_orphan_is_not_taken_for_it() -> None:
    orphan = process(102, 4.0, parent=1)
    other = process(102, 90.0, parent=1, session=5, started=2)
    assert seconds_after([leader(1.0), orphan], [leader(1.0), other]) == 5.0


def test_a_line_of_the_kernel_is_read_whatever_the_name_of_the_command() -> None:
    fields = ["S", "11", "22", "33", *["0"] * 7, "1", "2", "3", "4", "0", "0", "0", "0", "77", "0"]
    assert parse_stat(f"44 (a ) (name) {' '.join(fields)}") == ProcessUsage(
        process_id=44, parent_id=11, session_id=33, started_at=77, seconds=10 / TICKS_PER_SECOND
    )


def test_this_process_is_among_all_processes() -> None:
    own = next(one for one in all_processes() if one.process_id == os.getpid())
    assert (own.parent_id, own.session_id) == (os.getppid(), os.getsid(0))


def test_the_time_of_children_that_have_ended_is_measured() -> None:
    program = (
        "import subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {BURN!r}], check=True)\n"
        "print('ended', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as started:
        assert started.stdout is not None
        with CpuMeter({"both": started.pid}) as meter:
            assert started.stdout.readline() == b"ended\n"
            assert meter.read()["both"] >= 0.1
        started.communicate()
