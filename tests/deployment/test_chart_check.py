"""The configuration is checked before anything of a release changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from polytope_server.config import Configuration


def test_what_is_checked_before_is_what_the_pods_read(
    rendered: Any, loaded: Callable[..., Configuration]
) -> None:
    """Of a process of each kind, and of each pool, in a container of the same image."""
    job = next(pod for name, pod in rendered.pods().items() if name.endswith("-check"))
    assert job["spec"]["restartPolicy"] == "Never"
    images = {}
    for container in job["spec"]["containers"]:
        assert container["command"] == ["polytope-server", "config", "check"]
        suffix = f"-{container['name']}"
        assert loaded(rendered, "-check", container=container["name"]).raw == loaded(rendered, suffix).raw
        images[suffix] = container["image"]
    own = {
        name: pod["spec"]["containers"][0]["image"]
        for name, pod in rendered.pods().items()
        if name.endswith(tuple(images))
    }
    assert sorted(own.values()) == sorted(images.values())


def test_the_check_comes_first_and_needs_nothing_of_the_release(render: Any) -> None:
    rendered = render("minimal", {"existingSecretConfig.name": "vault"})
    hooks = [found for found in rendered.objects if "check" in found["metadata"]["name"]]
    assert sorted(found["kind"] for found in hooks) == ["ConfigMap", "Job", "Secret"]
    for found in hooks:
        notes = found["metadata"]["annotations"]
        assert notes["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert notes["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
        assert found["kind"] == "Job" or notes["helm.sh/hook-weight"] == "-1"
    (job,) = rendered.of_kind("Job")
    (container, _) = job["spec"]["template"]["spec"]["containers"]
    sources = [each["secretRef"]["name"] for each in container["envFrom"]]
    assert sources == ["test-polytope-check", "polytope"]
    assert not render("minimal", {"configCheck.enabled": False}).of_kind("Job")
