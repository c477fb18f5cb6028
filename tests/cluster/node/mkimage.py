#!/usr/bin/env python3
"""Write a one-layer container image as a docker-archive.

`docker load` and `ctr images import` both read the result. It is meant for small
images made of a static program or two, and for a root file system made by
debootstrap; the same input gives the same bytes.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import tarfile


def header(name: str, mode: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type = mode, kind
    return info


class Layer:
    """A layer under construction; parent folders are made when first needed."""

    def __init__(self, path: str) -> None:
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 -- closed by close()
        self.seen: set[str] = set()

    def folder(self, path: str, mode: int = 0o755) -> None:
        path = path.strip("/")
        if not path or path in self.seen:
            return
        self.folder(os.path.dirname(path))
        self.seen.add(path)
        self.tar.addfile(header(path + "/", mode, tarfile.DIRTYPE))

    def file(self, source: str, path: str) -> None:
        path = path.strip("/")
        self.folder(os.path.dirname(path))
        source = os.path.realpath(source)
        info = header(path, 0o755 if os.access(source, os.X_OK) else 0o644)
        info.size = os.path.getsize(source)
        with open(source, "rb") as data:
            self.tar.addfile(info, data)

    def text(self, path: str, content: str) -> None:
        self.folder(os.path.dirname(path))
        info = header(path.strip("/"), 0o644)
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content.encode()))

    def link(self, path: str, target: str) -> None:
        info = header(path.strip("/"), 0o777, tarfile.SYMTYPE)
        info.linkname = target
        self.tar.addfile(info)


def digest(path: str) -> str:
    with open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--tag", action="append", required=True)
    parser.add_argument("--add", action="append", default=[], metavar="SOURCE:TARGET")
    parser.add_argument("--busybox", metavar="FILE", help="install a static busybox with all its names")
    parser.add_argument("--rootfs", metavar="FOLDER", help="take this folder whole as the layer")
    parser.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--user", default="")
    parser.add_argument("--entrypoint", type=json.loads, default=None, metavar="JSON")
    parser.add_argument("--cmd", default=None)
    args = parser.parse_args()

    blob = args.output + ".layer"
    if args.rootfs:
        # tar keeps owners, hard links and special modes of the root file system.
        subprocess.run(
            [
                "tar",
                "-C",
                args.rootfs,
                "--sort=name",
                "--numeric-owner",
                "--exclude=./dev/*",
                "-cf",
                blob,
                ".",
            ],
            check=True,
        )
    else:
        layer = Layer(blob)
        layer.folder("tmp", 0o1777)
        layer.text("etc/passwd", "root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n")
        layer.text("etc/group", "root:x:0:\nnonroot:x:65532:\n")
        if args.busybox:
            layer.file(args.busybox, "bin/busybox")
            for name in subprocess.check_output([args.busybox, "--list"], text=True).split():
                if name != "busybox":
                    layer.link(f"bin/{name}", "busybox")
        for pair in args.add:
            source, target = pair.split(":", 1)
            layer.file(source, target)
        layer.tar.close()

    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": args.user,
            "Env": [path, *args.env],
            "Entrypoint": args.entrypoint,
            "Cmd": args.cmd.split() if args.cmd else None,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(blob)]},
        "history": [{"created": "1970-01-01T00:00:00Z"}],
    }
    text = json.dumps(config).encode()
    name = hashlib.sha256(text).hexdigest()
    layer_name = f"{digest(blob)}/layer.tar"
    manifest = [{"Config": f"{name}.json", "RepoTags": args.tag, "Layers": [layer_name]}]
    with tarfile.open(args.output + ".new", "w") as out:
        for member, content in ((f"{name}.json", text), ("manifest.json", json.dumps(manifest).encode())):
            info = header(member, 0o644)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
        info = header(layer_name, 0o644)
        info.size = os.path.getsize(blob)
        with open(blob, "rb") as data:
            out.addfile(info, data)
    os.remove(blob)
    os.replace(args.output + ".new", args.output)


if __name__ == "__main__":
    main()
