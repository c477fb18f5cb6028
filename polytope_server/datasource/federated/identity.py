"""How the user is named to the peer."""

from __future__ import annotations

from polytope_server.datasource import DataSourceError

#: What separates names in the credentials, and credentials in the header.
_SEPARATORS = {"username": ":,", "realm": ","}
_LONGEST = 255


def credentials_of(username: str, realm: str, secret: str) -> bytes:
    """The header `Authorization` by which the peer knows this server, and for whom it acts.

    Raises DataSourceError for a name that the peer would read as another one.
    """
    for what, name in (("username", username), ("realm", realm)):
        separators = _SEPARATORS[what]
        fits = 0 < len(name) <= _LONGEST and name.isprintable() and name == name.strip()
        if not fits or any(one in name for one in separators):
            listed = " or ".join(map(repr, separators))
            raise DataSourceError(
                f"Your {what} {name!r} cannot be passed on to another server: expected 1 to {_LONGEST} "
                f"printable characters without {listed}, and no space at the ends."
            )
    return f"Federation {secret}:{username}:{realm}".encode()
