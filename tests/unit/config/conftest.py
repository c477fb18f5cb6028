from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from polytope_server.config import Configuration, load
from polytope_server.settings import ConfigurationError, backends


class StubSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    url: str = Field("here", description="Where it is.")
    password: int = Field(0, description="A secret; a number, to have something to get wrong.")
    size: int = Field(1, ge=1, description="How much.")
    old: str | None = Field(None, description="Key of the earlier server; no effect.")
    hosts: list[str] = Field(default_factory=list, description="Some hosts.")
    either: str | int = Field(1, description="One or the other.")
    token: str = Field("", description="A secret.")

    @field_validator("token")
    @classmethod
    def _good(cls, token: str) -> str:
        if token == "hunter2":
            raise ValueError(f"the token {token} is not good")
        return token


class StrictSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str = Field(description="Where the data are.")

    def warnings(self) -> list[str]:
        return ["the path is relative"] if not self.path.startswith("/") else []


class PinSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    pin: SecretStr = Field(min_length=5, description="A secret by its type, not by its name.")


class Stub:
    Settings: ClassVar[Any] = StubSettings
    accepts_feature = False
    accepts_mappings = False
    aliases: Mapping[str, str] = types.MappingProxyType({})
    requires: tuple[str, ...] = ()

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    @classmethod
    def spelling(cls, settings: Any) -> None:
        return None


class Strict(Stub):
    Settings = StrictSettings


class Pin(Stub):
    Settings = PinSettings


class Feature(Stub):
    accepts_feature = True
    implied_keys = None
    aliases = types.MappingProxyType({"level": "levelist"})


def _lack(name: str) -> object:
    raise ModuleNotFoundError(name="no_such_package.part")


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each concern has the back-ends `stub`, `strict` ..., beside the built-in ones, and no plug-ins.

    The data source `unbuilt` is one of earlier servers that this one has not.
    """
    module = types.ModuleType("polytope_server.stubs_of_tests")
    module.__dict__.update(Stub=Stub, Strict=Strict, Feature=Feature, Pin=Pin, __getattr__=_lack)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = {
        "stub": "stubs_of_tests:Stub",
        "strict": "stubs_of_tests:Strict",
        "feature": "stubs_of_tests:Feature",
        "pin": "stubs_of_tests:Pin",
        "uninstalled": "stubs_of_tests:Uninstalled",
    }
    built_in = {concern: {**known, **names} for concern, known in backends.BUILT_IN.items()}
    monkeypatch.setattr(backends, "BUILT_IN", built_in)
    monkeypatch.setattr(backends, "plug_ins", lambda concern: ())
    monkeypatch.setitem(backends.NOT_BUILT, "datasource", frozenset({"unbuilt"}))


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Configuration]:
    """Loads texts, as files 1.yaml, 2.yaml ..."""

    def load_texts(*texts: str, **environ: str) -> Configuration:
        files = [tmp_path / f"{number}.yaml" for number in range(1, len(texts) + 1)]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return load(files, environ=environ, system_file=tmp_path / "none.yaml")

    return load_texts


@pytest.fixture
def problems(config: Callable[..., Configuration], tmp_path: Path) -> Callable[..., list[str]]:
    """The problems of texts, without the folder in front of the file."""

    def problems_of(*texts: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            config(*texts, **environ)
        assert str(caught.value).splitlines() == caught.value.problems
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems_of


@pytest.fixture
def warnings(config: Callable[..., Configuration], tmp_path: Path) -> Callable[..., list[str]]:
    """The warnings of texts, likewise."""

    def warnings_of(*texts: str, **environ: str) -> list[str]:
        return [text.replace(f"{tmp_path}/", "") for text in config(*texts, **environ).warnings]

    return warnings_of


@pytest.fixture
def real_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the package only: the stubs of these tests take keys that they should not."""
    stubs = ("stub", "strict", "feature", "pin", "uninstalled")
    real = {
        concern: {name: target for name, target in known.items() if name not in stubs}
        for concern, known in backends.BUILT_IN.items()
    }
    monkeypatch.setattr(backends, "BUILT_IN", real)
