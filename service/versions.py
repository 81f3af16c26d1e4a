"""Which versions serve, as their folder changes and as requests load and unload them.

Whatever is new is read, verified and warmed in a thread while the versions before go on serving,
and takes its place in one step. What is refused displaces nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from exported.bundle import names, versions
from service.aside import aside
from service.catalogue import UNREADABLE, Catalogue, read
from service.errors import ErrorKind, ServiceError, invalid
from service.kinds import AnyModel
from service.metrics import Metrics
from service.place import Place
from service.policies import Policies
from service.policy import LATEST, Policy
from service.route import check_start, log_change, route, unfit
from service.runtime import Runtime
from service.stamps import Key, Stamp, stamps

_AWAY = "the storage of the bundles cannot be reached; what serves goes on, ask again later"

log = logging.getLogger(__name__)


class Versions:
    """Changes what serves.

    Args:
        place: Where the bundles are.
        runtime: Runs their graphs.
        metrics: Told of every attempt to load one.
        policies: What is wanted of each name.
        serve: Takes a catalogue in place of the one before.

    Raises:
        StartError: If there is nothing to serve, or a version that is to answer does not.
    """

    def __init__(
        self,
        place: Place,
        runtime: Runtime,
        metrics: Metrics,
        policies: Policies,
        serve: Callable[[Catalogue], None],
    ) -> None:
        self._place, self._root = place, place.root
        self._runtime, self._metrics = runtime, metrics
        self._policies, self._take = policies, serve
        self._changing = asyncio.Lock()
        self._unloaded: set[str] = set()
        self._seen = self._before = stamps(self._root)
        loaded = Catalogue.load(self._root, runtime, metrics)
        for name in policies.named():
            check_start(name, policies.of(name), loaded.models.get(name, {}))
        self._catalogue = Catalogue()
        self._serve(loaded)

    async def load(self, name: str) -> None:
        """Serve the versions of a name that are on disk now, in place of those that serve.

        Raises:
            ServiceError: ``not_found`` if there are none, ``invalid_input`` if one is refused;
                ``not_ready`` if the storage cannot be reached; what serves has not changed then.
        """
        async with self._changing:
            await aside(partial(self._place.refresh, at_once=True))
            if self._place.health is not None and self._place.health.is_away:
                raise ServiceError(ErrorKind.NOT_READY, _AWAY)
            if name not in await asyncio.to_thread(names, self._root):
                raise ServiceError(ErrorKind.NOT_FOUND, f"no bundle is named {name[:64]!r}")
            found = await asyncio.to_thread(versions, self._root, name)
            models, refused = await self._read(name, found)
            if unfetched := _of(name, self._place.refused):
                raise _unchanged(name, min(unfetched))
            if refused:
                before = self._catalogue.models.get(name, {})
                self._serve(self._catalogue.replaced(name, before, refused))
                raise _unchanged(name, min(refused))
            pinned = self._policies.of(name).policy.version
            if pinned not in {None, *models}:
                raise invalid(f"{name}/{pinned} is to answer and is gone; nothing was changed")
            self._unloaded.discard(name)
            self._serve(self._catalogue.replaced(name, models, {}))

    async def unload(self, name: str) -> None:
        """Serve a name no longer, until it is loaded again; what has begun is finished.

        Raises:
            ServiceError: ``not_found`` if it does not serve.
        """
        async with self._changing:
            whys = dict.fromkeys(self._catalogue.of(name), "unloaded")
            self._unloaded.add(name)
            self._serve(self._catalogue.replaced(name, {}, whys))

    async def serve(self, name: str, policy: Policy) -> None:
        """Answer requests that name no version by another one, or compare another one.

        Raises:
            ServiceError: ``not_found`` if a version does not serve, ``invalid_input`` if the two
                cannot be compared; nothing has changed then.
        """
        async with self._changing:
            models = self._catalogue.of(name)
            for version in (policy.version, policy.challenger):
                if version is not None:
                    self._catalogue.get(name, version)
            if policy.version is not None and policy.challenger is not None:
                why = unfit(models, policy.version, policy.challenger)
                if why:
                    raise invalid(f"{name} cannot be compared, nothing was changed: {why}")
            text = await asyncio.to_thread(self._policies.write, name, policy)
            self._policies.take(name, policy, text)
            self._serve(self._catalogue)

    async def change(self, action: str, name: str, policy: Policy = LATEST) -> None:
        """One of :meth:`load`, :meth:`unload` and :meth:`serve`, which alone has a policy."""
        if action == "serve":
            await self.serve(name, policy)
        else:
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
        refused = self._place.refused
        await aside(self._place.refresh)
        found = await asyncio.to_thread(stamps, self._root)
        texts = await asyncio.to_thread(self._policies.read)
        before, self._before = self._before, found
        if not found:
            return
        is_other = self._policies.follow(texts)
        changed = self._changed(found, before)
        kept = {(name, one.version) for name, one in self._catalogue.routes.items() if one.is_kept}
        for name, version in (kept & before.keys()) - found.keys():
            log.warning("%s/%d is gone from disk and goes on, as it is to answer", name, version)
        gone = self._seen.keys() - found.keys() - kept
        for name in sorted({name for name, _ in changed | gone}):
            await self._follow(name, _of(name, changed), _of(name, gone))
        self._seen = {key: self._seen[key] for key in self._seen.keys() - gone}
        self._seen |= {key: found[key] for key in changed}
        if is_other or refused != self._place.refused:
            async with self._changing:
                self._serve(self._catalogue)

    def _changed(self, found: Mapping[Key, Stamp], before: Mapping[Key, Stamp]) -> set[Key]:
        """What is to be read: alike at two looks, and new, changed, or not to be read so far."""
        refused = self._catalogue.refused
        return {
            key
            for key, stamp in found.items()
            if stamp == before.get(key)
            and (stamp != self._seen.get(key) or refused.get(key) == UNREADABLE)
            and key[0] not in self._unloaded
        }

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
        before = self._catalogue.routes
        routes = {
            name: route(self._policies.of(name), models, before.get(name))
            for name, models in catalogue.models.items()
        }
        for name, one in routes.items():
            log_change(name, one, before.get(name))
        self._catalogue = replace(catalogue, routes=routes)
        elsewhere = {**self._catalogue.refused, **self._place.refused}
        self._take(replace(self._catalogue, refused=elsewhere))


def _unchanged(name: str, version: int) -> ServiceError:
    return invalid(
        f"{name}/{version} is refused, so that nothing was changed; the log of the service says "
        "why"
    )


def _of(name: str, keys: Collection[Key]) -> set[int]:
    return {version for other, version in keys if other == name}
