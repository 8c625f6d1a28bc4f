"""The environment files agree with each other, name no machine, and lead a newcomer to the whole project."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN_FILES = ("pyproject.toml", "requirements.lock", "environment.yml")
PYTHONS = ("3.11", "3.12", "3.13")
DOCUMENTED_TARGETS = {
    "reproduce",
    "test",
    "train",
    "report",
    "html",
    "lab",
    "bench",
    "data",
    "lock",
    "sync",
    "clean",
}

# The only hosts that a file may name: where papers are found, and the one reserved for examples.
PERMITTED_HOSTS = {"arxiv.org", "doi.org", "openreview.net", "example.org"}
URL = re.compile(r"\b[a-z][a-z+]*://([\w.@:-]+)", re.IGNORECASE)
BARE_HOST = re.compile(r"(?<![\w./-])(?:[a-z0-9-]+\.)+(?:com|org)\b(?!\()", re.IGNORECASE)
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.}\])/*-])/(?:home/(?!someone\b)|root/|Users/|work/|mnt/|srv/|opt/|data/|scratch/|tmp/)[\w.]"
)  # /home/someone stands for any path


def read_toml(name):
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def project():
    return read_toml("pyproject.toml")["project"]


def conda_dependencies():
    """The plain entries of environment.yml, and the entries of its pip section."""
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip_section,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return [entry for entry in entries if isinstance(entry, str)], pip_section


def versions(lines):
    """Package name -> exact version, for requirement lines that must all be of the form name==version."""
    found = {}
    for requirement in map(Requirement, lines):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, (
            f"{requirement} is not an exact pin"
        )
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is named twice"
        found[name] = specifier.version
    return found


def lock_lines():
    return (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()


def test_lock_holds_every_direct_pin_at_its_version():
    direct = versions(sum(project()["optional-dependencies"].values(), project()["dependencies"]))
    locked = versions(lock_lines())
    assert len(direct) >= 15 and len(locked) >= 100
    assert {name: locked.get(name) for name in direct} == direct


def test_conda_environment_holds_the_pins_of_the_project():
    _, pip_section = conda_dependencies()
    options = [line for line in pip_section if line.startswith("-")]
    assert options == ["-c requirements.lock", "-e .[dev]"]
    assert versions(line for line in pip_section if line not in options) == versions(
        project()["dependencies"]
    )


def test_conda_environment_can_be_read_by_conda():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert set(environment) == {"name", "channels", "dependencies"}
    plain, _ = conda_dependencies()
    assert "pip" in plain
    for entry in plain:
        assert re.fullmatch(r"[a-z0-9_.-]+((=|==|>=)[0-9.]+)?", entry), entry


def test_lock_resolves_for_every_supported_python():
    """A pin whose marker leaves out one Python would let pip choose any version there."""
    for line in lock_lines():
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) in versions(project()["dependencies"]):
            assert requirement.marker is None, line


def test_all_files_mean_the_same_pythons():
    supported = SpecifierSet(project()["requires-python"])
    minors = [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.5" in supported]
    assert minors == list(PYTHONS)
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in minors
    (conda_python,) = [
        entry.split("=")[-1] for entry in conda_dependencies()[0] if entry.startswith("python")
    ]
    assert conda_python in minors
    set_up = (ROOT / ".ci/setup").read_text(encoding="utf-8")
    assert project()["requires-python"] in set_up
    assert "(3, 11) <= sys.version_info[:2] < (3, 14)" in set_up


@pytest.mark.parametrize("name", PIN_FILES)
def test_pin_file_names_no_address(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text and "--extra-index" not in text and "--find-links" not in text


def project_texts():
    """(path, text) of every file that is in git or would be added to it; pictures and records are left out."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: cannot tell the project's files from others")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in sorted(set(listing.stdout.decode().split("\0")) - {""}):
        path = ROOT / name
        if path.suffix in {".png", ".parquet", ".npz"} or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        yield name, re.sub(r'"image/png": "[^"]*"', "", text)


def test_no_file_names_a_host_other_than_where_papers_are_found():
    texts = dict(project_texts())
    assert len(texts) >= 10
    bad = []
    for name, text in texts.items():
        hosts = {host.lower() for host in URL.findall(text)} | {
            host.lower() for host in BARE_HOST.findall(text)
        }
        bad += [f"{name}: {host}" for host in sorted(hosts - PERMITTED_HOSTS)]
    assert not bad, "\n".join(bad)


def test_no_file_holds_an_absolute_path():
    own = {str(ROOT), str(Path.home()), sys.prefix}
    own = [path for path in own if len(Path(path).parts) > 2]
    texts, bad = dict(project_texts()), []
    assert len(texts) >= 10
    for name, text in texts.items():
        found = {match.group() for match in ABSOLUTE_PATH.finditer(text)} | {
            path for path in own if path in text
        }
        bad += [f"{name}: {path}" for path in sorted(found)]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize(
    ("text", "is_host", "is_path"),
    [
        ("https:" + "//example.net/simple", True, False),
        ("fetched from the mirror example." + "com today", True, False),
        ("saved to " + "/home" + "/anna/x.npz", False, True),
        ('"' + "/opt" + '/wheels"', False, True),
        ("data/mnist.npz and build/deep/x", False, False),
        ("torch.nn.functional.conv2d, self.com(), {root}/data/x", False, False),
    ],
)
def test_the_search_for_hosts_and_paths_finds_them(text, is_host, is_path):
    assert bool(URL.search(text) or BARE_HOST.search(text)) == is_host
    assert bool(ABSOLUTE_PATH.search(text)) == is_path


def test_wheel_holds_every_module_and_every_csv_file(tmp_path):
    shutil.copytree(ROOT / "lth_utils", tmp_path / "lth_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(tmp_path).as_posix()
        for path in (tmp_path / "lth_utils").rglob("*")
        if path.suffix in {".py", ".csv"}
    }
    assert {"lth_utils/paper/claims.csv", "lth_utils/paper/curves.csv"} <= expected <= packed
    assert wheel.name.startswith("lottery_tickets-") and any(name.endswith("/LICENSE") for name in packed)


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("no make")
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}
    }
    done = subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def test_bare_make_lists_every_documented_target():
    listed = set(re.findall(r"^  make ([a-z]+) ", make(), flags=re.MULTILINE))
    assert listed == DOCUMENTED_TARGETS | {"help"}


def test_every_target_of_the_makefile_is_listed_and_phony():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", text, flags=re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert targets == DOCUMENTED_TARGETS | {"help"} == set(phony.split()) - {"FORCE"}
    assert text.count("\n") <= 120


def test_train_passes_its_settings_on():
    command = make("--dry-run", "train", "NETWORK=conv2", "SCALE=reduced", "BUDGET=25m")
    assert "-m lth_utils train --network conv2 --scale reduced --budget 25m" in command
    assert "--budget" not in make("--dry-run", "train", "BUDGET=")


def test_continuous_integration_runs_what_the_front_page_promises():
    run = ROOT / ".ci/run"
    lines = run.read_text(encoding="utf-8").splitlines()
    assert "set -eu" in lines and lines[-2:] == ["make test", "make reproduce"]
    assert os.access(run, os.X_OK) and os.access(ROOT / ".ci/setup", os.X_OK)


def test_package_imports_in_silence_and_without_torch():
    code = "import sys, lth_utils; assert lth_utils.__version__; assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
