"""The bundles of an address in a folder of this machine, which the service follows as any other.

A bundle appears there whole and verified or not at all; what is refused displaces nothing.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from exported.artifact import BundleFile
from exported.errors import BundleError
from service.errors import StartError
from service.place import MAX_POLICY_BYTES, POLICY_FILE, replace_file
from service.stamps import Key
from service.storage.bucket import Files, Found, open_bucket, readable
from service.storage.health import Health
from service.storage.kept import Kept
from service.storage.transfer import content, describe

REFUSED = "refused when it was fetched; the service's log says why"
UNREADABLE = "not to be fetched; the service's log says why"

log = logging.getLogger(__name__)


class Mirror:
    """Keeps a folder like an address.

    Args:
        address: Such as ``s3://bucket/prefix``.
        cache: Folder under which this address gets one of its own.

    Attributes:
        root: The folder.
        refused: Why a bundle of the address is not there, by name and version.
        health: How reading the address goes.

    Raises:
        StartError: If nothing here opens the address, or the folder cannot be made.
    """

    def __init__(self, address: str, cache: Path) -> None:
        self.root = cache / hashlib.sha256(address.encode()).hexdigest()[:16]
        self._bucket = open_bucket(address)
        try:
            self._kept = Kept(self.root)
        except OSError as error:
            raise StartError(
                f"cannot keep bundles under {cache} ({error.strerror}); name a folder of this "
                "machine with --cache"
            ) from error
        self.refused: Mapping[Key, str] = {}
        self.health = Health()
        self._before: Mapping[Key, Files] = {}
        self._done: dict[Key, Files] = {}
        self._told: dict[Key, Files] = {}

    def start(self) -> None:
        """Fetch what is there.

        Raises:
            StartError: If it cannot be reached, or there is nothing that can be taken.
        """
        with readable(self._bucket), self._kept.alone(waits=True):
            self._follow(at_once=True)
        if self.refused and not self._kept.keys():
            raise StartError(
                f"nothing to serve: all {len(self.refused)} bundles at {self._bucket.shown} were "
                "refused, which the log tells of each"
            )

    def refresh(self, at_once: bool = False) -> None:
        """Fetch what is new or changed, and drop what is gone.

        A bundle is fetched once it has been alike at two looks, so that one that is still being
        uploaded is left alone. No bundle at all is taken for an address that is away.

        Args:
            at_once: Whether one look is enough.
        """
        try:
            with self._kept.alone(waits=at_once) as alone:
                if alone:
                    self._follow(at_once)
        except OSError as error:
            self._be_away(error)

    def write(self, name: str, text: str) -> None:
        """Have the file that says what answers of a name there, and here.

        Raises:
            OSError: If it cannot be written there.
        """
        self._bucket.write(f"{name}/{POLICY_FILE}", text.encode())
        replace_file(self.root / name / POLICY_FILE, text.encode())

    def _follow(self, at_once: bool) -> None:
        found = self._bucket.some()
        before, self._before = self._before, found.bundles
        for key, files in sorted(found.bundles.items()):
            is_settled = at_once or before.get(key) == files
            if is_settled and self._done.get(key) != files:
                self._bring(key, files, at_once)
        for key in self._kept.keys() - found.bundles.keys():
            self._kept.drop(key)
        self.refused = {k: why for k, why in self.refused.items() if k in found.bundles}
        self._follow_policies(found)
        self._kept.sweep()
        if self.health.is_away:
            log.info("%s can be reached again", self._bucket.shown)
        self.health.is_away, self.health.looked = False, time.time()

    def _bring(self, key: Key, files: Files, at_once: bool) -> None:
        """Have a bundle here, or say why not."""
        others = {other: why for other, why in self.refused.items() if other != key}
        try:
            described, manifest = describe(self._bucket, key, files)
            self._kept.take(manifest, described, partial(self._fetch, key))
        except BundleError as error:
            self.refused = others | {key: REFUSED}
            self._tell(key, files, error)
        except OSError as error:  # tried again at the next look
            self.refused = others | {key: UNREADABLE}
            self._tell(key, files, error)
            return
        else:
            self.refused = others
            self._told.pop(key, None)
        if not at_once:  # what was looked at once may change within the second of its time
            self._done[key] = files

    def _fetch(self, key: Key, entry: BundleFile) -> Iterator[bytes]:
        for chunk in content(self._bucket, key, entry):
            self.health.fetched_bytes += len(chunk)
            yield chunk

    def _tell(self, key: Key, files: Files, error: Exception) -> None:
        """Log why a bundle is not taken, once as long as it stays as it is."""
        if self._told.get(key) != files:
            log.error("%s/%d of %s is not taken: %s", *key, self._bucket.shown, error)
        self._told[key] = files

    def _be_away(self, error: OSError) -> None:
        if not self.health.is_away:
            log.error("%s is away, what serves goes on: %s", self._bucket.shown, error)
        self.health.is_away = True

    def _follow_policies(self, found: Found) -> None:
        for name in {name for name, _ in found.bundles}:
            here = self.root / name / POLICY_FILE
            if name not in found.policies:
                here.unlink(missing_ok=True)
                continue
            text = b"".join(self._bucket.chunks(f"{name}/{POLICY_FILE}", MAX_POLICY_BYTES + 1))
            if not here.is_file() or here.read_bytes() != text:
                here.parent.mkdir(exist_ok=True)
                replace_file(here, text)
