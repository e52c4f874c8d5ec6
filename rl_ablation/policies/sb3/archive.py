"""Read members of a third-party file, with every size bounded before it costs anything."""

from __future__ import annotations

import stat
import zipfile
import zlib
from io import BytesIO

from rl_ablation.errors import LabError
from rl_ablation.files import MIB
from rl_ablation.policies.sb3.pickles import DAMAGE, printable

MAX_FILE = 256 * MIB
"""A whole file; the largest agents of the SB3 Zoo with an MLP have about 20 MiB."""
MAX_DECLARED = 1024 * MIB
"""What all members of an archive say to unpack to, together; they are not unpacked."""
MAX_RATIO = 200
"""Unpacked over packed; weights hardly shrink, and the settings shrink about fivefold."""
_ENTRY = b"PK\x01\x02"


class Archive:
    """At most ``most`` members of a zip held in memory; nothing is ever unpacked to disk.

    Raises:
        LabError: No zip, damaged, a bomb, or with names that are doubled or lead elsewhere.
    """

    def __init__(self, content: bytes, most: int) -> None:
        # Python builds an object for each entry before one can look at them: count them first.
        # The bytes inside of nested archives count too, hence the slack.
        if content.count(_ENTRY) > most + 5_000:
            raise LabError(f"a zip with more than {most:,} members (a zip bomb?)")
        try:
            self._zip = zipfile.ZipFile(BytesIO(content))
        except zipfile.BadZipFile as error:
            raise LabError(_no_zip(content, error)) from None
        except (*DAMAGE, NotImplementedError, OSError) as error:
            raise LabError(f"a damaged zip ({printable(error)})") from None
        members = self._zip.infolist()
        if len(members) > most:
            raise LabError(f"a zip with {len(members):,} members, more than {most:,} (a zip bomb?)")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name, shown = member.filename, printable(member.filename)
            if name in self._members:
                raise LabError(f"member {shown!r} stands in the zip twice; which one is meant?")
            if name.startswith("/") or ".." in name.split("/") or "\\" in name or ":" in name:
                raise LabError(f"member {shown!r} leads out of the zip; not a file of SB3")
            if stat.S_ISLNK(member.external_attr >> 16):
                raise LabError(f"member {shown!r} is a link; not a file of SB3")
            if member.file_size > max(MIB, MAX_RATIO * member.compress_size):
                raise LabError(
                    f"member {shown!r} would grow from {member.compress_size:,} to "
                    f"{member.file_size:,} bytes (a zip bomb?)"
                )
            self._members[name] = member
        if (total := sum(member.file_size for member in members)) > MAX_DECLARED:
            raise LabError(f"a zip that unpacks to {total / MIB:,.0f} MiB (a zip bomb?)")

    @property
    def names(self) -> list[str]:
        """Names of all members."""
        return list(self._members)

    def size(self, name: str) -> int:
        """Bytes that a member has, as the zip says; 0 for one that is missing."""
        member = self._members.get(name)
        return 0 if member is None else member.file_size

    def read(self, name: str, limit: int) -> bytes:
        """Return a member's bytes, checked against its checksum.

        Raises:
            LabError: Missing, damaged, encrypted, longer than ``limit``, or oddly compressed.
        """
        member, shown = self._members.get(name), f"member {printable(name)!r}"
        if member is None:
            raise LabError(f"has no {shown}; is it a zip saved by SB3?")
        if member.file_size > limit:
            raise LabError(f"{shown} has more than {limit // MIB} MiB")
        if member.flag_bits & 1:
            raise LabError(f"{shown} is encrypted; save it without a password")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise LabError(f"{shown} is compressed in an unusual way; zip anew")
        try:
            with self._zip.open(member) as stream:
                content = stream.read(limit + 1)
        except (*DAMAGE, zipfile.BadZipFile, zlib.error, RuntimeError, OSError) as error:
            raise LabError(f"{shown} is damaged ({printable(error)})") from None
        if len(content) != member.file_size:
            raise LabError(f"{shown} is cut short; download the file again")
        return content


def _no_zip(content: bytes, error: Exception) -> str:
    if not content:
        return "empty; download it again"
    if content.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
    if content.startswith(b"PK\x03\x04"):
        return f"a damaged or truncated zip ({printable(error)}); download it again"
    return "not a zip file; give a zip saved by stable-baselines3"
