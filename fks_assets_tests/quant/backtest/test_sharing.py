"""How the work of a sweep is shared out: each row is run once, and nobody leaves while there is work to come."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from fks_assets.quant.backtest.sharing import SharedWork

PATIENCE_SECONDS = 60


def test_two_threads_share_the_rows_of_one_group() -> None:
    """The one that does not judge waits for the judgement: both are inside a part at the same time, or the barrier breaks."""
    together, ran = Barrier(2), []

    def run(judgement: str, rows: list[int]) -> None:
        if len(ran) < 2:
            ran.append(rows)
            together.wait(PATIENCE_SECONDS)
        ran.append(rows)

    work = SharedWork([list(range(40))], lambda row: "judged", 2)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(work.work_off, run)
        work.work_off(run)
    assert other.exception() is None
    assert sorted(row for rows in ran[2:] for row in rows) == list(range(40))


def test_while_nothing_is_judged_nobody_waits_for_another() -> None:
    """Both judge at the same time at the beginning, or the barrier breaks; later one at a time."""
    together, begun, judging, most = Barrier(2), Event(), [], []

    def judge(row: int) -> int:
        judging.append(row)
        if not begun.is_set():
            together.wait(PATIENCE_SECONDS)
            begun.set()
        else:
            most.append(len(judging))
        judging.remove(row)
        return row

    groups = [list(range(10 * place, 10 * place + 10)) for place in range(20)]
    ran: list[int] = []
    work = SharedWork(groups, judge, 2)
    with ThreadPoolExecutor(1) as threads:
        other = threads.submit(work.work_off, lambda judgement, rows: ran.extend(rows))
        work.work_off(lambda judgement, rows: ran.extend(rows))
    assert other.exception() is None
    assert sorted(ran) == list(range(200))
    assert set(most) == {1}


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_an_error_of_one_thread_ends_the_others(workers: int) -> None:
    def judge(row: int) -> int:
        if row == 30:
            raise ArithmeticError("row 30")
        return row

    work = SharedWork([[row] for row in range(1000)], judge, workers)
    ran: list[int] = []
    with ThreadPoolExecutor(workers) as threads:
        done = [threads.submit(work.work_off, lambda judgement, rows: ran.extend(rows)) for _ in range(workers)]
    assert [str(each.exception()) for each in done if each.exception() is not None] == ["row 30"]
    assert len(ran) == len(set(ran)) < 1000
