"""Bearer tokens as the service knows them: names and SHA-256 digests, from a file.

A line of the file is ``NAME TOKEN`` or ``NAME sha256:HEX``; ``#`` begins a comment. A name may
have several tokens, so that one can be replaced by another without a gap. No message and no
attribute holds a token.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from service.errors import StartError

# Digests are of no use to who reads them only where tokens cannot be guessed.
MIN_CHARACTERS = 20
MAX_FILE_BYTES = 2**20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, section 2.1
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """Those that are known.

    Attributes:
        digests: A name and a digest for each.
    """

    digests: tuple[tuple[str, bytes], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name once."""
        return tuple(dict.fromkeys(name for name, _ in self.digests))

    def owner(self, token: bytes) -> str | None:
        """The name of a token, or None; takes as long for any token that is not known."""
        digest = hashlib.sha256(token).digest()
        found = None
        for name, known in self.digests:
            if hmac.compare_digest(digest, known):
                found = name
        return found


def read_tokens(path: Path) -> Tokens:
    """The tokens of a file.

    Raises:
        StartError: Naming the file and the line, never what stands there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        lines = content.decode().splitlines()
    except OSError as error:
        raise StartError(f"cannot read the tokens in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        # Its message would show what stands there.
        raise StartError(f"expected text in the file of tokens {path}, got other bytes") from None
    if len(content) > MAX_FILE_BYTES:
        raise StartError(f"expected at most {MAX_FILE_BYTES} bytes of tokens in {path}, got more")
    stripped = enumerate((line.partition("#")[0].split() for line in lines), start=1)
    digests = tuple(_entry(words, f"{path}, line {place}") for place, words in stripped if words)
    if not digests:
        raise StartError(f"expected a line NAME TOKEN or more in {path}, got none")
    if len({digest for _, digest in digests}) < len(digests):
        raise StartError(f"expected each token once in {path}, got one twice")
    return Tokens(digests)


def _entry(words: list[str], where: str) -> tuple[str, bytes]:
    if len(words) != 2 or not _NAME.fullmatch(words[0]):
        raise StartError(
            f"expected NAME TOKEN or NAME sha256:HEX in {where}, the name of lower-case letters, "
            "digits, '.', '_' and '-', got something else"
        )
    name, token = words
    if digest := _DIGEST.fullmatch(token):
        return name, bytes.fromhex(digest[1])
    if not _TOKEN.fullmatch(token) or len(token) < MIN_CHARACTERS:
        raise StartError(
            f"expected a token of at least {MIN_CHARACTERS} letters, digits and -._~+/ in "
            f"{where}, got another; 'openssl rand -hex 32' makes one"
        )
    return name, hashlib.sha256(token.encode()).digest()
