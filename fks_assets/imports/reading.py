"""Read candle files: one result for each series in them, usable or refused with the reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fks_assets.errors import InvalidInput
from fks_assets.imports.cleaning import Clock, clean_rows
from fks_assets.imports.frames import frame_format, read_frame
from fks_assets.imports.identity import Asked, market_of, origin_of, timeframe_of
from fks_assets.imports.layouts import layout_of
from fks_assets.imports.names import NameFacts, name_facts
from fks_assets.imports.report import ConflictRule, ImportedSeries, ImportFormat, ImportRefused, RefusedFile
from fks_assets.imports.rows import RawRows, read_text
from fks_assets.imports.sources import DATA_ENDINGS, Member, members_of, opened_text, sha256_of
from fks_assets.quant.timeframes import month_of


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What to take from the files, and how. `format` None: told by the content."""

    clock: Clock
    asked: Asked = field(default_factory=Asked)
    format: ImportFormat | None = None
    conflicts: ConflictRule = ConflictRule.PRECISE


def candle_files(paths: Sequence[Path], asked: Asked) -> list[Path]:
    """Return the files named, and those in the folders named whose names say nothing against the options, in order.

    Raises InvalidInput for a path that does not exist and for a folder without candle files.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.is_file() and _is_candle_file(each, path))
            chosen = [each for each in inside if asked.allows(each.name)]
            if not chosen:
                raise InvalidInput(f"folder {str(path)!r} holds no candle file ({', '.join(DATA_ENDINGS)}) that was asked for")
            found += chosen
        elif path.is_file():
            found.append(path)
        else:
            raise InvalidInput(f"file {str(path)!r} does not exist")
    return list(dict.fromkeys(found))


def read_file(path: Path, options: ImportOptions) -> Iterator[ImportedSeries | RefusedFile]:
    """Yield each series of a file: one, or one for each candle file of an archive that was asked for. What fails is refused."""
    try:
        digest = sha256_of(path)
        count = 0
        for member in members_of(path, options.asked.allows):
            count += 1
            yield _read_member(member, digest, options)
        if not count:
            yield RefusedFile(path.name, "no file in the archive has the market and timeframe that were asked for")
    except (ImportRefused, OSError) as error:
        yield RefusedFile(path.name, str(error))


def _read_member(member: Member, digest: str, options: ImportOptions) -> ImportedSeries | RefusedFile:
    try:
        return _series(member, digest, options)
    except ImportRefused as error:
        return RefusedFile(member.label, str(error))


def _series(member: Member, digest: str, options: ImportOptions) -> ImportedSeries:
    form, raw = _rows(member, options.format)
    facts = _facts(member)
    if not raw.count:
        raise ImportRefused("holds no rows")
    times = raw.open_time()
    market = market_of(facts, raw.symbols, form, member.path, options.asked)
    timeframe = timeframe_of(facts, times, np.concatenate(raw.spans) if raw.spans else None, options.asked)
    candles, report = clean_rows(raw, timeframe, options.conflicts, options.clock, _notes(facts, times))
    source = origin_of(form, facts, member.path, market)
    return ImportedSeries(member.label, digest, form, market, timeframe, source, candles, report)


def _rows(member: Member, asked: ImportFormat | None) -> tuple[ImportFormat, RawRows]:
    with opened_text(member) as text:
        form = frame_format(text.head)
        layout = None if form is not None else layout_of(text.head)
        found = form if layout is None else layout.format
        if asked is not None and found is not asked:
            raise ImportRefused(f"--format {asked} contradicts its content, which is {found}")
        if layout is not None:
            return found, read_text(text, layout)
    if member.compressed:
        raise ImportRefused(f"is a {found} file inside an archive or under gzip: unpack it first")
    return found, read_frame(member.path)


def _facts(member: Member) -> NameFacts:
    """Return what the name says; a file in an archive whose own name says nothing goes by the archive's."""
    facts = name_facts(member.name)
    return name_facts(member.path.name) if facts == NameFacts() else facts


def _notes(facts: NameFacts, times: np.ndarray) -> tuple[str, ...]:
    if facts.period is None:
        return ()
    months = {month_of(int(time)) for time in (times.min(), times.max())}
    if months == {facts.period[:7]}:
        return ()
    return (f"the name says {facts.period}, the rows are of {' to '.join(sorted(months))}",)


def _is_candle_file(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.name.lower().endswith(DATA_ENDINGS)
