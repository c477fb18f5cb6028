"""OpenLDAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.services.programs import program
from testbed.services.service import Service, answers, free_port

_SUFFIX = "dc=example,dc=org"
#: As it is on the wire; the answer is a sequence (0x30).
_ANONYMOUS_BIND = bytes.fromhex("300c020101600702010304008000")
_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload back_monitor
moduleload memberof
moduleload refint
pidfile {folder}/slapd.pid
argsfile {folder}/slapd.args
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSCACertificateFile {folder}/ca.pem

database monitor
rootdn "{admin}"

database mdb
suffix "{suffix}"
directory {folder}/data
maxsize 104857600
rootdn "{admin}"
rootpw "{admin_password}"
index objectClass,cn,uid,member eq
overlay memberof
memberof-refint TRUE
memberof-dangling ignore
overlay refint
refint_attributes member
access to attrs=userPassword by anonymous auth by * none
access to dn.subtree="ou=public,{suffix}" by * read
access to * by dn.exact="{reader}" read by anonymous auth by * none
"""


class LDAP(Service):
    """An OpenLDAP for `ldap://`, StartTLS and `ldaps://`, with the overlay `memberof`.

    Users are `alice` (groups `staff` and `forecasters`), `bob` (`staff`) and `carol` (none); `staff` is a
    member of `everybody`. Only :attr:`reader` may look below ou=people and ou=groups. Everybody may look
    below ou=public, where `visitor` has two values of `employeeType`.
    """

    name = "ldap"
    suffix = _SUFFIX
    people, groups, public = f"ou=people,{_SUFFIX}", f"ou=groups,{_SUFFIX}", f"ou=public,{_SUFFIX}"
    reader, password = f"cn=reader,{_SUFFIX}", "of the reader"
    admin, admin_password = f"cn=admin,{_SUFFIX}", "of the admin"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.tls_port = free_port()
        #: The authority of its certificate, which is valid for 127.0.0.1 only, and another one.
        self.ca_file, self.other_ca_file = self.folder / "ca.pem", self.folder / "other.pem"
        (self.folder / "slapd.conf").write_text(
            _CONFIGURATION.format(
                folder=self.folder, suffix=_SUFFIX, admin=self.admin, reader=self.reader,
                admin_password=self.admin_password,
            )
        )  # fmt: skip

    @property
    def variables(self) -> dict[str, str]:
        return {"LDAP_URL": self.url, "LDAP_USER": self.reader, "LDAP_PASSWORD": self.password}

    @property
    def url(self) -> str:
        """The address for clear text and StartTLS."""
        return f"ldap://{self.host}:{self.port}"

    @property
    def tls_url(self) -> str:
        """The address for TLS."""
        return f"ldaps://{self.host}:{self.tls_port}"

    def command(self) -> Sequence[str]:
        addresses = f"{self.url}/ {self.tls_url}/"
        configuration = str(self.folder / "slapd.conf")
        return [program(self.name), "-f", configuration, "-h", addresses, "-d", "0"]

    def start(self) -> None:
        new = not (self.folder / "data").exists()
        if new:
            (self.folder / "data").mkdir()
            self._make_certificates()
        super().start()
        if new:
            self._fill()

    def ready(self) -> bool:
        return answers(self.host, self.port, _ANONYMOUS_BIND, b"\x30")

    def client(self) -> Any:
        """A connection of ldap3 that may do everything, for `with`; it raises an error for what fails."""
        from ldap3 import NONE, Connection, Server

        server = Server(self.url, get_info=NONE, connect_timeout=5)
        return Connection(
            server,
            self.admin,
            self.admin_password,
            raise_exceptions=True,
            receive_timeout=20,
            check_names=False,
        )

    def add(self, dn: str, kind: str, **attributes: Any) -> None:
        """Add an entry, for example of the kind `inetOrgPerson`."""
        with self.client() as client:
            client.add(dn, kind, attributes)

    def add_user(self, name: str, below: str = people, **attributes: Any) -> str:
        """Add a user; returns the DN."""
        dn = f"cn={_escaped(name)},{below}"
        self.add(dn, "inetOrgPerson", **{"sn": "Tester", "uid": name, **attributes})
        return dn

    def add_group(self, name: str, *members: str) -> str:
        """Add a group of members, given by their DN; returns its DN."""
        dn = f"cn={_escaped(name)},{self.groups}"
        self.add(dn, "groupOfNames", member=members or self.admin)
        return dn

    def add_member(self, group: str, member: str) -> None:
        """Add a member to a group, both given by their DN."""
        from ldap3 import MODIFY_ADD

        with self.client() as client:
            client.modify(group, {"member": [(MODIFY_ADD, [member])]})

    def connections(self) -> int:
        """How many connections it has taken since it was started, that of this question included."""
        dn = "cn=Total,cn=Connections,cn=Monitor"
        with self.client() as client:
            client.search(dn, "(objectClass=*)", "BASE", attributes=["monitorCounter"])
            return int(client.response[0]["raw_attributes"]["monitorCounter"][0])

    def _make_certificates(self) -> None:
        import trustme

        authority, other = trustme.CA(), trustme.CA()
        certificate = authority.issue_cert(self.host)
        authority.cert_pem.write_to_path(self.ca_file)
        other.cert_pem.write_to_path(self.other_ca_file)
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        for blob in certificate.cert_chain_pems:
            blob.write_to_path(self.folder / "server.pem", append=True)

    def _fill(self) -> None:
        self.add(self.suffix, "domain", dc="example")
        for unit in (self.people, self.groups, self.public):
            self.add(unit, "organizationalUnit")
        self.add(self.reader, "organizationalRole", **_login(self.password))
        alice = self.add_user("alice", mail=["alice@example.org", "a@example.org"], givenName="Alice")
        bob = self.add_user("bob", mail="bob@example.org")
        self.add_user("carol")
        self.add_user("visitor", self.public, employeeType=["guest", "Öffentlich, kurz"])
        staff = self.add_group("staff", alice, bob)
        self.add_group("forecasters", alice)
        self.add_group("everybody", staff)


def _login(password: str) -> Mapping[str, Any]:
    """What makes an entry that can log in."""
    return {"objectClass": ["organizationalRole", "simpleSecurityObject"], "userPassword": password}


def _escaped(name: str) -> str:
    from ldap3.utils.dn import escape_rdn

    return str(escape_rdn(name))
