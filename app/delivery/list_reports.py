"""What a vendor has made of requests that it accepted hours ago: it is asked, and its reports are put down."""

from __future__ import annotations

from app.activation.lists import jobs
from app.activation.lists.state import Job
from app.activation.lists.vendor import Report
from app.activation.outcome import Reason
from app.delivery.list_door import Said
from app.delivery.list_table import ListTable
from app.delivery.list_update import Counted, Means
from app.observability import logs

log = logs.get("lists")


def due(means: Means, table: ListTable, list_: bytes) -> list[Job]:
    """Of one list, the jobs that are to be asked about now, the oldest first."""
    kept = table.draft().kept_list(list_)
    return jobs.due(kept, means.lists.reports_s, means.clock.now_ms()) if kept is not None else []


async def ask(means: Means, table: ListTable, list_: bytes) -> None:
    """Ask about each job of a list that is due, one after the other.

    Raises HeadwaterError where a step could not be written; the table has to be opened anew then.
    """
    for job in due(means, table, list_):
        said = await _asked(means, job)
        async with table.step:
            await _put_down(means, table, list_, job, said)


async def _asked(means: Means, job: Job) -> Said[Report]:
    report = means.lists.report
    assert report is not None, "only vendors that report have times of asking"
    probe = await means.door.admitted()
    return await means.door.talk(lambda attempt: report(job.id, attempt), probe=probe)


async def _put_down(means: Means, table: ListTable, list_: bytes, job: Job, said: Said[Report]) -> None:
    draft, now_ms, about = table.draft(), means.clock.now_ms(), said.value
    kept = draft.kept_list(list_)
    assert kept is not None, "a list is never taken out of the table"
    where = {"destination": means.destination, "list": kept.name, "job": job.id}
    if about is None or not about.done:
        given_up = jobs.not_yet(draft, list_, kept, job.id, means.lists.reports_s, now_ms)
        await table.commit(draft)
        if given_up:
            log.warning("the vendor does not say what became of a request; it counts as done", **where)
        return
    undone = jobs.settle(draft, list_, kept, job.id, about, now_ms)
    await table.commit(draft)
    if undone.again:
        means.observe(Counted("retry", Reason.REFUSED, undone.again))
    if undone.refused:
        means.observe(Counted("rejected", Reason.REFUSED, undone.refused))
    if undone.again or undone.refused:
        log.warning("of an accepted request the vendor has not seen to all members",
                    again=undone.again, refused=undone.refused, reason=about.why, **where)  # fmt: skip
