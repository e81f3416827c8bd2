"""The answers of a run that has not finished, and going on with them.

``ANSWERS.partial`` is the beginning of the file to be; ``ANSWERS.partial.json`` says how it was
asked for. ANSWERS itself appears when it is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from spanqa._bulk.formats import RowFormat, fingerprint
from spanqa._bulk.rows import ERROR_CODE, ROW, BulkError, Columns, Row

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where nothing keeps two runs apart
    fcntl = None  # type: ignore[assignment]

Settings = Mapping[str, Any]


class Answered:
    """Which rows have been written, in four bytes a row."""

    def __init__(self) -> None:
        self._fingerprints = array("I")
        self.count = 0
        self.failed = 0

    def add(self, number: int, mark: int, is_failed: bool) -> None:
        """Notes a row; raises ValueError if it was noted before."""
        missing = number + 1 - len(self._fingerprints)
        self._fingerprints.extend([0] * max(0, missing))
        if self._fingerprints[number]:
            raise ValueError(f"row {number + 1} is there twice")
        self._fingerprints[number] = mark
        self.count += 1
        self.failed += is_failed

    def get(self, number: int) -> int:
        """The fingerprint of a row; 0 if it has not been written."""
        return self._fingerprints[number] if number < len(self._fingerprints) else 0


class PartialFile:
    """Rows on their way to ANSWERS; whatever was written stays, however the process ends."""

    def __init__(
        self,
        output: Path,
        row_format: RowFormat,
        columns: Columns,
        settings: Settings,
        *,
        restart: bool = False,
    ) -> None:
        """Begins, or goes on where an earlier run with the same settings has ended.

        Args:
            output: Where the answers will be.
            row_format: How rows are written.
            columns: Which columns are added to the rows.
            settings: All that the bytes depend on, as JSON values.
            restart: Forget the answers that an earlier run has written.

        Raises:
            OSError: A file cannot be read or written.
            BulkError: There are finished answers, or those of other settings, or another run.
        """
        self.output = output.resolve()
        self.path = self.output.with_name(f"{self.output.name}.partial")
        self._settings_path = self.path.with_name(f"{self.path.name}.json")
        self._format, self._columns = row_format, columns
        self.answered = Answered()
        begun = self.path.exists() and self.path.stat().st_size > 0
        if self.output.exists() and not begun and not restart:
            raise BulkError(f"{output} exists: move it away, or give --restart to replace it")
        # Unbuffered: a row is with the system as soon as it is answered.
        self.path.touch()
        self._file = self.path.open("r+b", buffering=0)
        try:
            self._lock()
            if begun and not restart:
                self._resume(dict(settings))
            else:
                self._begin(settings)
        except BaseException:
            self._file.close()
            raise

    def is_answered(self, row: Row) -> bool:
        """Whether an earlier run has written this row.

        Raises:
            BulkError: It has written another one in its place.
        """
        mark = self.answered.get(row.number)
        if mark and mark != fingerprint(self._format, row.carried):
            raise BulkError(
                f"row {row.number + 1} of the questions is not the one in {self.path}: give the"
                " questions that it was begun with, or --restart to ask them all"
            )
        return mark != 0

    def write(self, record: bytes) -> None:
        """Appends a row."""
        _write_all(self._file, record)

    def finish(self, convert: Callable[[Path, Path], None] | None = None) -> None:
        """Makes ANSWERS of what was written, all at once.

        Args:
            convert: Called with the rows' path and the path of the file to write, if ANSWERS has
                another format.
        """
        os.fsync(self._file.fileno())
        if convert is None:
            self.path.replace(self.output)
        else:
            made = self.path.with_name(f"{self.path.name}.made")
            convert(self.path, made)
            with made.open("rb") as file:
                os.fsync(file.fileno())
            made.replace(self.output)
            self.path.unlink()
        self._settings_path.unlink()
        self._file.close()

    def close(self) -> None:
        """Leaves what was written for another run, if it is anything."""
        if not self._file.closed and self._file.tell() <= len(self._format.head):
            self.path.unlink(missing_ok=True)
            self._settings_path.unlink(missing_ok=True)
        self._file.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BulkError(f"another run is writing {self.path}: wait for it, or end it") from None

    def _begin(self, settings: Settings) -> None:
        self._file.truncate(0)
        # Before the first row, so that there are no rows without settings.
        new = self._settings_path.with_name(f"{self._settings_path.name}.new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(settings, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._settings_path)
        _write_all(self._file, self._format.head)

    def _resume(self, settings: Settings) -> None:
        self._check_settings(settings)
        end = 0
        with (
            contextlib.suppress(ValueError, LookupError, StopIteration),
            self.path.open("rb") as lines,
        ):
            records = self._format.records(lines)
            if self._format.head and next(records) != self._format.head:
                raise ValueError("the header is cut")
            end = len(self._format.head)
            for record in records:
                self._note(self._format.decode(record))
                end += len(record)
        self._file.truncate(end)
        self._file.seek(end)
        if end == 0:
            _write_all(self._file, self._format.head)

    def _note(self, row: Mapping[str, Any]) -> None:
        columns = self._columns
        added = set(columns.added)
        carried = {name: value for name, value in row.items() if name not in added}
        numbered = int(row[columns.prefix + ROW]) - 1 if columns.numbered else self.answered.count
        is_failed = bool(row[columns.prefix + ERROR_CODE])
        self.answered.add(numbered, fingerprint(self._format, carried), is_failed)

    def _check_settings(self, settings: Settings) -> None:
        try:
            earlier = json.loads(self._settings_path.read_bytes())
        except (OSError, ValueError):
            earlier = None
        if not isinstance(earlier, dict):
            raise BulkError(
                f"{self.path} is there, but {self._settings_path.name} does not say how it was"
                " made: move it away, or give --restart"
            )
        now = json.loads(json.dumps(settings))
        if changed := sorted(key for key in earlier | now if earlier.get(key) != now.get(key)):
            raise BulkError(
                f"{self.path} was begun with other options ({', '.join(changed)}):"
                " give the same ones, or --restart to ask all rows"
            )


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
