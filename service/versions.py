"""Which versions serve, as their folder changes and as requests load and unload them.

Whatever is new is read, verified and warmed in a thread while the versions before go on serving,
and takes its place in one step. What is refused displaces nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from exported.bundle import names, versions
from service.catalogue import Catalogue, read
from service.errors import ErrorKind, ServiceError, invalid
from service.kinds import AnyModel
from service.metrics import Metrics
from service.runtime import Runtime

Key = tuple[str, int]
# Name, bytes and time of change of each file of a bundle.
Stamp = tuple[tuple[str, int, int], ...]

log = logging.getLogger(__name__)


class Versions:
    """Changes what serves.

    Args:
        root: Folder of the bundles.
        runtime: Runs their graphs.
        metrics: Told of every attempt to load one.
        serve: Takes a catalogue in place of the one before.
    """

    def __init__(
        self,
        root: Path,
        runtime: Runtime,
        metrics: Metrics,
        serve: Callable[[Catalogue], None],
    ) -> None:
        self._root, self._runtime, self._metrics = root, runtime, metrics
        self._take = serve
        self._changing = asyncio.Lock()
        self._unloaded: set[str] = set()
        self._seen = self._before = stamps(root)
        self._catalogue = Catalogue.load(root, runtime, metrics)
        serve(self._catalogue)

    async def load(self, name: str) -> None:
        """Serve the versions of a name that are on disk now, in place of those that serve.

        Raises:
            ServiceError: ``not_found`` if there are none, ``invalid_input`` if one is refused;
                what serves has not changed then.
        """
        async with self._changing:
            if name not in await asyncio.to_thread(names, self._root):
                raise ServiceError(ErrorKind.NOT_FOUND, f"no bundle is named {name[:64]!r}")
            found = await asyncio.to_thread(versions, self._root, name)
            models, refused = await self._read(name, found)
            if refused:
                before = self._catalogue.models.get(name, {})
                self._serve(self._catalogue.replaced(name, before, refused))
                raise invalid(
                    f"{name}/{min(refused)} is refused, so that nothing was changed; the log of "
                    "the service says why"
                )
            self._unloaded.discard(name)
            self._serve(self._catalogue.replaced(name, models, {}))

    async def unload(self, name: str) -> None:
        """Serve a name no longer, until it is loaded again; what has begun is finished.

        Raises:
            ServiceError: ``not_found`` if it does not serve.
        """
        async with self._changing:
            self._catalogue.get(name)  # refuses names that there are not
            whys = dict.fromkeys(self._catalogue.models[name], "unloaded")
            self._unloaded.add(name)
            self._serve(self._catalogue.replaced(name, {}, whys))

    async def change(self, action: str, name: str) -> None:
        """Load or unload a model; see :meth:`load` and :meth:`unload`."""
        await (self.load if action == "load" else self.unload)(name)

    async def follow(self, every_s: float) -> None:
        """Look at the folder for ever, every so many seconds; see :meth:`look`."""
        while True:
            await asyncio.sleep(every_s)
            try:
                await self.look()
            except Exception:  # whatever it was, what serves goes on, and so does this
                log.exception("the folder of the bundles could not be followed; trying again")

    async def look(self) -> None:
        """Serve what is new or changed on disk, and no longer what is gone.

        A bundle is read once it has been alike at two looks, so that one that is still being
        copied is left alone. A folder without any bundle is taken for a disk that is away.
        """
        found = await asyncio.to_thread(stamps, self._root)
        before, self._before = self._before, found
        if not found:
            return
        changed = {
            key
            for key, stamp in found.items()
            if stamp == before.get(key) != self._seen.get(key) and key[0] not in self._unloaded
        }
        gone = self._seen.keys() - found.keys()
        for name in sorted({name for name, _ in changed | gone}):
            await self._follow(name, _of(name, changed), _of(name, gone))
        self._seen = {key: self._seen[key] for key in self._seen.keys() - gone}
        self._seen |= {key: found[key] for key in changed}

    async def _follow(self, name: str, changed: Collection[int], gone: Collection[int]) -> None:
        async with self._changing:
            models, refused = await self._read(name, sorted(changed))
            before = self._catalogue.models.get(name, {})
            kept = {version: model for version, model in before.items() if version not in gone}
            whys = {
                version: why
                for (other, version), why in self._catalogue.refused.items()
                if other == name and version not in {*changed, *gone}
            }
            serving = dict(sorted({**kept, **models}.items()))
            self._serve(self._catalogue.replaced(name, serving, {**whys, **refused}))
            told = {"new": sorted(models), "refused": sorted(refused), "gone": sorted(gone)}
            log.info("%s: %s", name, ", ".join(f"{k} {v}" for k, v in told.items() if v))

    async def _read(
        self, name: str, which: Collection[int]
    ) -> tuple[dict[int, AnyModel], dict[int, str]]:
        return await asyncio.to_thread(read, self._root, name, which, self._runtime, self._metrics)

    def _serve(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._take(catalogue)


def stamps(root: Path) -> Mapping[Key, Stamp]:
    """How every bundle under a root looks from outside."""
    found: dict[Key, Stamp] = {}
    for name in names(root):
        for version in versions(root, name):
            try:
                files = sorted((root / name / str(version)).iterdir())
                told = (
                    (file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files
                )
                found[name, version] = tuple(told)
            except FileNotFoundError:  # it went away while it was looked at
                continue
    return found


def _of(name: str, keys: Collection[Key]) -> set[int]:
    return {version for other, version in keys if other == name}
