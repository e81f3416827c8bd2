"""Whether a version can take calls: which Tritons have loaded it, and pass its canary."""

from collections.abc import Callable, Collection
from typing import Generic

from spanqa_server.errors import StartupError
from spanqa_server.versions.host import Host
from spanqa_server.versions.records import Model, Record, VersionRecords, VersionState
from spanqa_server.versions.repository import Readiness, VersionFile

# A Triton that has not loaded a version after this time has failed to.
LOAD_SECONDS = 120.0


class Examination(Generic[Model]):
    """Examines versions on all Tritons, and notes in their records what is wrong with them."""

    def __init__(
        self, host: Host, records: VersionRecords[Model], clock: Callable[[], float]
    ) -> None:
        self._host = host
        self._records = records
        self._clock = clock

    def given_up(self, record: Record[Model]) -> bool:
        """Whether a version is kept from Triton. One of somebody else may still load it."""
        later = record.state is VersionState.NOT_LOADED and not self._host.chooses
        return bool(record.reason) and not later

    async def good_tritons(self, file: VersionFile, serving: VersionFile | None) -> list[str]:
        """The Tritons that can take the version's calls.

        To take over from the one that serves, it must be on every Triton that answers: otherwise
        its calls would meet a Triton that does not have it yet.
        """
        record = self._records[file]
        if record.prepared is None:
            return []
        canary = record.prepared.canary
        answers = await self._host.readiness(file.number)
        lacking = (Readiness.NOT_LOADED, Readiness.AWAY)
        canary.forget(triton for triton, answer in answers.items() if answer in lacking)
        ready = [triton for triton, answer in answers.items() if answer is Readiness.READY]
        if not ready or (file != serving and Readiness.NOT_LOADED in answers.values()):
            await self._note_lack(file, record, answers.values())
            return []
        record.lacking_since = None
        try:
            good = await canary.passed(ready, self._host.answered_at(file.number))
        except StartupError as error:
            self._records.fail(file, VersionState.FAILED, str(error))
            return []
        if good and record.reason:
            self._records.recover(file)
        # All calls would go to the Triton that was first with its first batch.
        takes_over = serving is not None and file != serving
        return [] if takes_over and canary.under_way else good

    async def _note_lack(
        self, file: VersionFile, record: Record[Model], answers: Collection[Readiness]
    ) -> None:
        """A Triton does not have the version: find out why, or how long that has been so."""
        if Readiness.NOT_LOADED in answers:
            record.lacking_since = record.lacking_since or self._clock()
        else:
            record.lacking_since = None  # nobody is there that could load it
        if cause := (await self._host.load_failures()).get(file.number):
            reason = f"Triton could not load it ({cause})"
        elif record.lacking_since and self._clock() - record.lacking_since >= LOAD_SECONDS:
            reason = f"Triton has not loaded it in {LOAD_SECONDS:.0f} s; its log may say why"
        else:
            return
        self._records.fail(file, VersionState.NOT_LOADED, reason)
