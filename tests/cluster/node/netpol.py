#!/usr/bin/env python3
"""Enforce NetworkPolicy objects on a one-node cluster, with nftables.

The bridge network of the test cluster does not look at NetworkPolicy. This program
watches pods, namespaces and policies, and rewrites one nftables table after each
change, so that charts can be tested for real. It runs inside the node's network
namespace. It covers networking.k8s.io/v1 in full for IPv4: both directions, pod and
namespace selectors, ipBlock with except, port ranges and named ports.

Not covered: pods on the host network, and connections that were open before a
policy came (they stay). As the API allows, traffic from the node itself, such as
the kubelet's probes, always passes; traffic to the node does not.
"""

import argparse
import collections
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]
TABLE = "ptc-netpol"
KINDS = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}


# ---- from policies to rules: no input or output here ----------------------------


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """Tell whether a label selector matches; an empty one matches everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for term in selector.get("matchExpressions") or []:
        key, values = term["key"], term.get("values") or []
        match term["operator"]:
            case "In" if labels.get(key) not in values:
                return False
            case "NotIn" if labels.get(key) in values:
                return False
            case "Exists" if key not in labels:
                return False
            case "DoesNotExist" if key in labels:
                return False
    return True


def labels_of(item: Object) -> dict[str, str]:
    return item["metadata"].get("labels") or {}


def named_port(pod: Object, name: str, protocol: str) -> int | None:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == name and port.get("protocol", "TCP") == protocol:
                return port["containerPort"]
    return None


class Rules:
    """The nftables rules that a set of pods, namespaces and policies asks for."""

    def __init__(self, pods: list[Object], namespaces: list[Object], policies: list[Object]) -> None:
        self.policies = policies
        self.namespaces = {item["metadata"]["name"]: labels_of(item) for item in namespaces}
        self.pods = [
            pod
            for pod in pods
            if pod["status"].get("podIP")
            and not pod["spec"].get("hostNetwork")
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]

    def peer_pods(self, peer: Object, namespace: str) -> list[Object]:
        if "namespaceSelector" in peer:
            among = {
                n for n, labels in self.namespaces.items() if selects(peer["namespaceSelector"] or {}, labels)
            }
        else:
            among = {namespace}
        return [
            pod
            for pod in self.pods
            if pod["metadata"]["namespace"] in among
            and selects(peer.get("podSelector") or {}, labels_of(pod))
        ]

    def lines(self, rule: Object, namespace: str, pod: Object, ingress: bool) -> Iterator[str]:
        """The nftables matches that let through what one rule of a policy allows."""
        side = "saddr" if ingress else "daddr"
        peers = rule.get("from" if ingress else "to") or []
        ports = rule.get("ports") or []
        matches: list[tuple[str, list[Object] | None]] = []  # an address match and the pods behind it
        if not peers:
            matches.append(("", None if ingress else self.pods))
        for peer in peers:
            if block := peer.get("ipBlock"):
                match = f"ip {side} {block['cidr']} "
                if block.get("except"):
                    match += f"ip {side} != {{ {', '.join(block['except'])} }} "
                if ":" not in block["cidr"]:
                    matches.append((match, []))
            elif pods := self.peer_pods(peer, namespace):
                addresses = ", ".join(sorted({p["status"]["podIP"] for p in pods}))
                matches.append((f"ip {side} {{ {addresses} }} ", pods))
        for match, pods in matches:
            if not ports:
                yield match.strip()
            for port in ports:
                protocol = port.get("protocol", "TCP")
                number = port.get("port")
                if number is None:
                    yield f"{match}meta l4proto {protocol.lower()}"
                elif isinstance(number, int):
                    last = f"-{port['endPort']}" if port.get("endPort") else ""
                    yield f"{match}{protocol.lower()} dport {number}{last}"
                elif ingress:  # a name: that of a port of the pod itself
                    if found := named_port(pod, number, protocol):
                        yield f"{match}{protocol.lower()} dport {found}"
                else:  # a name: that of a port of each pod spoken to
                    for other in pods or []:
                        if found := named_port(other, number, protocol):
                            yield f"ip daddr {other['status']['podIP']} {protocol.lower()} dport {found}"

    def render(self) -> str:
        chains: list[str] = []
        jumps: dict[bool, list[str]] = {True: [], False: []}
        for pod in self.pods:
            namespace, address = pod["metadata"]["namespace"], pod["status"]["podIP"]
            for ingress in (False, True):
                kind = "Ingress" if ingress else "Egress"
                found = [
                    policy["spec"]
                    for policy in self.policies
                    if policy["metadata"]["namespace"] == namespace
                    and selects(policy["spec"].get("podSelector") or {}, labels_of(pod))
                    and kind in policy["spec"].get("policyTypes", ["Ingress"])
                ]
                if not found:
                    continue
                name = f"{'in' if ingress else 'out'}-{address}"
                lines = [
                    f"{line} return".strip()
                    for spec in found
                    for rule in spec.get(kind.lower()) or []
                    for line in self.lines(rule, namespace, pod, ingress)
                ]
                body = "".join(f"    {line}\n" for line in dict.fromkeys([*lines, "counter drop"]))
                chains.append(f"  chain {name} {{\n{body}  }}\n")
                jumps[ingress].append(f"    ip {'daddr' if ingress else 'saddr'} {address} jump {name}\n")
        start = "    ct state established,related accept\n"
        return (
            f"table ip {TABLE}\ndelete table ip {TABLE}\ntable ip {TABLE} {{\n{''.join(chains)}"
            f"  chain forward {{\n    type filter hook forward priority -5; policy accept;\n"
            f"{start}{''.join(jumps[False])}{''.join(jumps[True])}  }}\n"
            f"  chain input {{\n    type filter hook input priority -5; policy accept;\n"
            f"{start}{''.join(jumps[False])}  }}\n}}\n"
        )


# ---- watching the cluster ------------------------------------------------------------


class Store:
    """What the watches have seen; `changed` is set when it is no longer what is in force."""

    def __init__(self, server: str, context: ssl.SSLContext) -> None:
        self.server, self.context = server, context
        self.items: dict[str, dict[str, Object]] = collections.defaultdict(dict)
        self.listed: set[str] = set()
        self.lock, self.changed = threading.Lock(), threading.Event()

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection(self.server, context=self.context, timeout=330)
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"{path}: {answer.status} {answer.read(200)!r}")
        return answer

    def follow(self, kind: str) -> None:
        """List one kind and watch it; again from the start after any failure."""
        while True:
            try:
                with self.get(KINDS[kind]) as answer:
                    listing = json.load(answer)
                with self.lock:
                    self.items[kind] = {item["metadata"]["uid"]: item for item in listing["items"]}
                    self.listed.add(kind)
                self.changed.set()
                version = listing["metadata"]["resourceVersion"]
                with self.get(
                    f"{KINDS[kind]}?watch=1&timeoutSeconds=300&resourceVersion={version}"
                ) as answer:
                    for line in answer:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        self.take(kind, event)
            except (OSError, http.client.HTTPException, ValueError) as error:
                print(f"{kind}: {error}", file=sys.stderr, flush=True)
                time.sleep(1)

    def take(self, kind: str, event: Object) -> None:
        item = event["object"]
        with self.lock:
            if event["type"] == "DELETED":
                self.items[kind].pop(item["metadata"]["uid"], None)
            else:
                self.items[kind][item["metadata"]["uid"]] = item
        self.changed.set()

    def rules(self) -> str | None:
        with self.lock:
            if len(self.listed) < len(KINDS):
                return None
            pods, namespaces, policies = (list(self.items[kind].values()) for kind in KINDS)
        return Rules(pods, namespaces, policies).render()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="127.0.0.1:6443")
    parser.add_argument("--ca", required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    args = parser.parse_args()
    context = ssl.create_default_context(cafile=args.ca)
    context.load_cert_chain(args.cert, args.key)
    store = Store(args.server, context)
    for kind in KINDS:
        threading.Thread(target=store.follow, args=(kind,), daemon=True).start()
    in_force = ""
    while True:
        store.changed.wait()
        store.changed.clear()
        rules = store.rules()
        if rules is None or rules == in_force:
            continue
        done = subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
        if done.returncode:
            print(f"{done.stderr}\n{rules}", file=sys.stderr, flush=True)
            continue
        in_force = rules
        print(f"in force: {rules.count(' jump ')} jumps", flush=True)


if __name__ == "__main__":
    main()
