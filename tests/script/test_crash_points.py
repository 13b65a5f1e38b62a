"""A part of bench/crash: every so many-th of all points at which imap-collector or hpfeeds-broker may
be killed, or lose its disk's unsynced writes, for each way of marking and of confirming."""
import collections

import pytest

from peers.broker_crash import BrokerCase
from peers.crash import Case, Crash, rows, some_mails
from peers.process import share

STEP, BROKER_STEP = 67, 41
# About as many as every run comes by. bench/crash goes on until there is none.
COUNTS = {"disk": 51, "imap.send": 7, "imap.recv": 11, "broker.send": 2, "broker.recv": 1,
          "net.send": 18, "net.recv": 30}
MADE = 29  # of a state that is made: the same for all
died = collections.Counter()


def cases(row, since=0):
    return [case for kind in row.kinds
            for number in range(since + 1 if kind == "disk" else 1, COUNTS[kind] + 1)
            for case in row.at_point(kind, number)]


def chosen():
    first, *others = rows()
    collector = [*cases(first), *(case for row in others for case in cases(row, MADE))]
    broker = [case for way in ("echo", "close") for case in cases(BrokerCase(confirm=way))]
    # And power cuts behind the marks, and when a segment that is done with is deleted.
    return [Case(at="imap.send:7", power="nothing"),
            *(BrokerCase(at=f"disk:{number}", power="some") for number in range(49, 53)),
            *share(collector[STEP // 2::STEP]),
            *share(broker[BROKER_STEP // 2::BROKER_STEP])]


def run(case, directory, **more):
    crash = case.try_out(directory, **more)
    assert not crash.problems, "\n".join([f"bench/crash {case.options()}", *crash.problems])
    return crash


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case.options().replace("--", ""))
def test_nothing_is_lost(case, tmp_path):
    died[run(case, tmp_path).died] += 1


def test_most_points_were_met():
    """Otherwise the above has not shown much."""
    assert died[True] >= 4 * died[False]


# Killed with a new folder, or what stands in a file, not synced; the next run finds it there, builds
# on it, and loses its power.
UNSYNCED = [Case(at="disk:2", again="imap.send:7", power="nothing"),
            BrokerCase(at="disk:2", again="net.recv:20", power="nothing"),
            BrokerCase(at="disk:4", again="net.recv:20", power="nothing"),
            BrokerCase(at="disk:10", again="net.recv:20", power="nothing")]


@pytest.mark.parametrize("case", UNSYNCED, ids=lambda case: case.options().replace("--", ""))
def test_what_a_killed_run_had_not_synced(case, tmp_path):
    run(case, tmp_path)


def test_record_that_a_killed_run_had_not_synced(tmp_path):
    """The next run finds it and marks the mail: by then it is on the disk."""
    mail = some_mails(0)[:1]
    points = Crash(Case(), tmp_path / "whole", mail).run().points
    confirmed = max(at for at, kind in enumerate(points) if kind == "broker.recv")
    synced = points[:points.index("imap.send", confirmed)].count("disk")
    for number in range(5, 9):  # one of them is the answer to the mark
        run(Case(at=f"disk:{synced}", again=f"imap.recv:{number}", power="nothing"),
            tmp_path / str(number), mails=mail)
