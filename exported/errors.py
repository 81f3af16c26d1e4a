"""What can be wrong with a bundle.

::

    BundleError
    ├── BundleNotFoundError    no such name or version under the root
    ├── BundleInvalidError     present, but refused: tampered, half-written, or not understood
    └── BundleExistsError      a version is written once and never again
"""


class BundleError(Exception):
    """Base of every refusal in this package; the message says what was expected and got."""


class BundleNotFoundError(BundleError):
    """No bundle of that name or version under the root."""


class BundleInvalidError(BundleError):
    """The bundle is there and must not be used."""


class BundleExistsError(BundleError):
    """The version to be written is already published."""
