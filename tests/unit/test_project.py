"""The project as a whole: version, licence, lock, packaging, import budget, house rules."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

import rlem

HEAVY = (
    "numpy",
    "openai",
    "matplotlib",
    "pydantic",
    "click",
    "rich",
    "jinja2",
    "yaml",
    "rapidfuzz",
    "sqlite3",
)

# What would tie the project to one machine or one registry. Written in pieces: this file is checked too.
FORBIDDEN = re.compile(
    r"(?<![\w.~-])/(?:" + r"work|root|home/\w+|Users/\w+" + r")/"
    r"|pypi\.org/" + "simple|files\\.python" + r"hosted|--(?:extra-)?index-" + r"url[ =]https?:"
)


@pytest.fixture(scope="module")
def pyproject(project: Path) -> dict[str, Any]:
    """The parsed pyproject.toml."""
    return tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))


def stored_files(project: Path) -> list[Path]:
    """The files that git keeps or would keep."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=project, check=True, capture_output=True,
        ).stdout.decode("utf-8", "surrogateescape")  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this copy of the project is not a git repository")
    return [path for name in listed.split("\0") if name and (path := project / name).is_file()]


def pins(lock: Path) -> dict[str, str]:
    """Name and version of each package in a lock."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock.read_text(encoding="utf-8"), flags=re.MULTILINE))


def trees(folder: Path) -> list[tuple[Path, ast.Module]]:
    """The syntax trees of all Python files of a folder."""
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(folder.rglob("*.py"))]


def test_version_stands_once(pyproject: dict[str, Any]) -> None:
    """`rlem.__version__` and pyproject.toml name the same version."""
    assert pyproject["project"]["version"] == rlem.__version__


def test_version_is_the_installed_one() -> None:
    """What pip says about rlem is what rlem says about itself."""
    try:
        installed = importlib.metadata.version("rlem")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("rlem is not installed here; `python3 dev.py test` installs it")
    assert installed == rlem.__version__


def test_changelog_tells_of_this_version(project: Path) -> None:
    """The current version has its heading in CHANGELOG.md."""
    headings = re.findall(r"^## (\S+)", (project / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rlem.__version__ in headings


def test_licence_is_apache_2(project: Path, pyproject: dict[str, Any]) -> None:
    """LICENSE holds the whole Apache licence, 2.0, and the metadata names it."""
    text = (project / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert all(f"\n   {number}. " in text for number in range(1, 10))
    assert "END OF TERMS AND CONDITIONS" in text
    assert pyproject["project"]["license"] == "Apache-2.0"


def test_import_loads_nothing_heavy() -> None:
    """`import rlem` in a fresh interpreter loads none of the libraries that cost time, and prints nothing."""
    program = f"import sys, rlem; sys.exit(' '.join(name for name in {HEAVY} if name in sys.modules))"
    source = str(Path(rlem.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr.strip()) == ("", "")


@pytest.mark.parametrize("name", sorted(rlem.__all__))
def test_public_name_exists(name: str) -> None:
    """Every name that `rlem` offers can be had."""
    assert getattr(rlem, name) is not None


def test_every_data_file_is_packaged(project: Path, pyproject: dict[str, Any]) -> None:
    """Each file beside the code matches a pattern of package-data, so that the wheel carries it."""
    patterns = pyproject["tool"]["setuptools"]["package-data"]["rlem"]
    package = project / "src" / "rlem"
    data = [
        path.relative_to(package).as_posix()
        for path in stored_files(project)
        if path.is_relative_to(package) and path.suffix != ".py"
    ]
    assert "py.typed" in data
    globs = ["*/" + pattern.removeprefix("**/") for pattern in patterns]
    assert [name for name in data if not any(fnmatch(f"/{name}", glob) for glob in globs)] == []


def test_nothing_names_a_machine_or_a_registry(project: Path) -> None:
    """No stored text file holds a path of one machine or the address of a package registry."""
    found = []
    for path in stored_files(project):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a binary file
        found += [f"{path.relative_to(project)}: {match.group()}" for match in FORBIDDEN.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "caught"),
    [
        ("see /ro" + "ot/x", True),
        ("'/wo" + "rk/main'", True),
        ("/home" + "/ann/x", True),
        ("https://pypi.org/sim" + "ple", True),
        ("framework/rules", False),
        ("../wo" + "rk/x", False),
        ("https://pypi.org/project/rlem", False),
    ],
)
def test_machine_names_are_recognised(text: str, caught: bool) -> None:
    """The pattern of the test above finds what it should and leaves ordinary text alone."""
    assert bool(FORBIDDEN.search(text)) is caught


def test_lock_covers_the_dependencies(project: Path, pyproject: dict[str, Any]) -> None:
    """Every declared dependency is locked, for users and for developers; but for the heavy ones. Mobile-Env
    has locks of its own in tools/mobile_env, torch and Ray stand in tools/install_heavy.py."""
    declared = {re.split(r"[<>=!\[; ]", line)[0].lower() for line in pyproject["project"]["dependencies"]}
    assert declared - pins(project / "requirements" / "core.txt").keys() == set()
    groups = [line for line in pyproject["dependency-groups"]["dev"] if isinstance(line, str)]
    optional = pyproject["project"]["optional-dependencies"].items()
    heavy = {"distillation", "mobile-env", "ray"}
    extras = chain.from_iterable(lines for extra, lines in optional if extra not in heavy)
    wanted = {re.split(r"[<>=!\[; ]", line)[0].lower() for line in chain(groups, extras)}
    assert wanted - pins(project / "requirements" / "dev.txt").keys() == set()


def test_core_lock_is_part_of_the_dev_lock(project: Path) -> None:
    """Users and developers run the same versions: `dev.py demo` takes a developer's environment as it is."""
    core = pins(project / "requirements" / "core.txt").items()
    assert core <= pins(project / "requirements" / "dev.txt").items()
    assert len(core) > 20


@pytest.mark.parametrize("profile", ["core", "dev"])
def test_lock_is_hashed_and_names_no_address(project: Path, profile: str) -> None:
    """Each locked package carries hashes, and no line says where to download from."""
    lines = (project / "requirements" / f"{profile}.txt").read_text(encoding="utf-8").splitlines()
    for line, following in pairwise(lines):
        if "==" in line:
            assert following.startswith("    --hash=sha256:"), line
    assert [line for line in lines if "://" in line or line.startswith(("-", "file:"))] == []


def test_modules_say_what_they_are(project: Path) -> None:
    """Every module of the package has a docstring."""
    silent = [str(path) for path, tree in trees(project / "src" / "rlem") if not ast.get_docstring(tree)]
    assert silent == []


def test_tests_say_what_must_hold(project: Path) -> None:
    """Every test function has a docstring."""
    silent = [
        f"{path.relative_to(project)}:{node.lineno} {node.name}"
        for path, tree in trees(project / "tests")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []


def test_absent_golden_data_skips_or_fails(
    golden: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded data that is there is found; absent, its test is skipped, or fails where CI asks for it."""
    monkeypatch.setenv("RLEM_GOLDEN", str(tmp_path))
    monkeypatch.delenv("RLEM_REQUIRE_GOLDEN", raising=False)
    (tmp_path / "x.json").touch()
    assert golden("x.json") == tmp_path / "x.json"
    with pytest.raises(pytest.skip.Exception, match="is not under RLEM_GOLDEN"):
        golden("y.json")
    monkeypatch.setenv("RLEM_REQUIRE_GOLDEN", "1")
    with pytest.raises(pytest.fail.Exception, match="RLEM_REQUIRE_GOLDEN=1 asks for it"):
        golden("y.json")


def test_golden_data_is_found_in_one_place(project: Path) -> None:
    """Only tests/conftest.py knows where recorded data is: a helper beside it could skip where CI may not."""
    own = [Path(__file__).name, "conftest.py"]
    readers = [
        str(path.relative_to(project))
        for path in sorted((project / "tests").rglob("*.py"))
        if path.name not in own and "environ" in (text := path.read_text("utf-8")) and "RLEM_GOLDEN" in text
    ]
    assert readers == [], "use the fixture `golden` of tests/conftest.py"


@pytest.mark.parametrize("package", ["rlem", "rlem.testing"])
def test_exported_names_exist(package: str) -> None:
    """Every public name of a package can be had, and an unknown one is an AttributeError."""
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert not hasattr(module, "no_such_name")
