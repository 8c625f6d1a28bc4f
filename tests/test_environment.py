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
PYTHONS = ["3.11", "3.12", "3.13"]
TARGETS = set("help reproduce test train report html lab bench data lock sync clean".split())

# The only hosts that a file may name: where papers are found, and the one reserved for examples.
PERMITTED_HOSTS = {"arxiv.org", "doi.org", "openreview.net", "example.org"}
HOST = re.compile(r"\b[a-z][a-z+]*://([\w.@:-]+)|(?<![\w./-])((?:[a-z0-9-]+\.)+(?:com|org)\b)(?!\()", re.I)
ABSOLUTE_PATH = re.compile(
    r"(?<![\w.}\])/*-])/(?:home/(?!someone\b)|root/|Users/|work/|mnt/|srv/|opt/|data/|scratch/|tmp/)[\w.]"
)  # /home/someone stands for any path


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def project():
    return tomllib.loads(text_of("pyproject.toml"))["project"]


def conda_dependencies():
    """The plain entries of environment.yml, and the entries of its pip section."""
    entries = yaml.safe_load(text_of("environment.yml"))["dependencies"]
    (pip_section,) = [entry["pip"] for entry in entries if isinstance(entry, dict)]
    return [entry for entry in entries if isinstance(entry, str)], pip_section


def versions(lines):
    """Package name -> exact version, for requirement lines that must all be of the form name==version."""
    found = {}
    for requirement in map(Requirement, lines):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, f"{requirement} is no exact pin"
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is named twice"
        found[name] = specifier.version
    return found


def needs(lines):
    """Package name -> the range of versions that the project asks for."""
    return {canonicalize_name(need.name): need.specifier for need in map(Requirement, lines)}


# --- versions ----------------------------------------------------------------------------------------------------


def test_lock_holds_a_fitting_version_of_everything_that_the_project_asks_for():
    direct = needs(sum(project()["optional-dependencies"].values(), project()["dependencies"]))
    locked = versions(text_of("requirements.lock").splitlines())
    assert len(direct) >= 15 and len(locked) >= 100
    for name, asked in direct.items():
        assert len(asked) and locked[name] in asked, f"{name} {locked[name]} is locked, asked for is {asked}"


def test_lock_resolves_for_every_supported_python():
    """A pin whose marker leaves out one Python would let pip choose any version there."""
    for line in text_of("requirements.lock").splitlines():
        requirement = Requirement(line)
        if canonicalize_name(requirement.name) in needs(project()["dependencies"]):
            assert requirement.marker is None, line


def test_conda_environment_holds_the_locked_versions():
    plain, pip_section = conda_dependencies()
    options = [line for line in pip_section if line.startswith("-")]
    assert "pip" in plain and options == ["-c requirements.lock", "-e .[dev]"]
    locked = versions(text_of("requirements.lock").splitlines())
    pins = versions(line for line in pip_section if line not in options)
    assert pins == {name: locked[name] for name in needs(project()["dependencies"])}


def test_all_files_mean_the_same_pythons():
    supported = SpecifierSet(project()["requires-python"])
    assert [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.5" in supported] == PYTHONS
    (conda_python,) = [name.split("=")[-1] for name in conda_dependencies()[0] if name.startswith("python")]
    assert conda_python in PYTHONS
    set_up = text_of(".ci/setup")
    assert project()["requires-python"] in set_up and "(3, 11) <= sys.version_info[:2] < (3, 14)" in set_up


# --- no address, no path -----------------------------------------------------------------------------------------


def hosts(text):
    return {(found[1] or found[2]).lower() for found in HOST.finditer(text)} - PERMITTED_HOSTS


def paths(text):
    own = [path for path in (str(ROOT), str(Path.home()), sys.prefix) if len(Path(path).parts) > 2]
    return {found[0] for found in ABSOLUTE_PATH.finditer(text)} | {path for path in own if path in text}


def test_no_file_names_a_host_other_than_where_papers_are_found_or_an_absolute_path():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: cannot tell the project's files from others")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    files = [ROOT / name for name in sorted(set(names) - {""})]
    files = [f for f in files if f.is_file() and f.suffix not in {".png", ".parquet", ".npz"}]
    assert len(files) >= 10
    bad = []
    for path in files:
        text = path.read_bytes().decode("utf-8", errors="replace")
        text = re.sub(r'"image/png": "[^"]*"', "", text)
        bad += [f"{path.relative_to(ROOT)}: {found}" for found in sorted(hosts(text) | paths(text))]
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
    assert (bool(hosts(text)), bool(paths(text))) == (is_host, is_path)


# --- what is installed, and the commands -------------------------------------------------------------------------


def test_wheel_holds_every_module_and_every_csv_file(tmp_path):
    shutil.copytree(ROOT / "lth_utils", tmp_path / "lth_utils", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, capture_output=True, check=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (tmp_path / "lth_utils").rglob("*") if path.suffix in {".py", ".csv"}]
    expected = {path.relative_to(tmp_path).as_posix() for path in files}
    assert {"lth_utils/paper/claims.csv", "lth_utils/paper/curves.csv"} <= expected <= packed


def make(*arguments):
    if shutil.which("make") is None:
        pytest.skip("no make")
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}
    }
    command = ["make", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_bare_make_lists_every_target_and_each_is_phony():
    assert set(re.findall(r"^  make ([a-z]+) ", make(), flags=re.M)) == TARGETS
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text_of("Makefile"), flags=re.M)
    assert set(phony.split()) - {"FORCE"} == TARGETS


def test_train_passes_its_settings_on():
    command = make("--dry-run", "train", "NETWORK=conv2", "SCALE=reduced", "BUDGET=25m")
    assert "-m lth_utils train --network conv2 --scale reduced --budget 25m" in command
    assert "--budget" not in make("--dry-run", "train", "BUDGET=")


def test_readme_is_checked_by_make_test_and_written_by_make_report():
    assert "cogapp --verbosity=0 --check README.md" in make("--dry-run", "test")
    assert "cogapp --verbosity=0 -r README.md" in make("--dry-run", "report")


def test_continuous_integration_runs_what_the_front_page_promises():
    lines = text_of(".ci/run").splitlines()
    assert "set -eu" in lines and lines[-2:] == ["make test", "make reproduce"]
    assert os.access(ROOT / ".ci/run", os.X_OK) and os.access(ROOT / ".ci/setup", os.X_OK)


def test_package_imports_in_silence_and_without_torch():
    code = "import sys, lth_utils; assert lth_utils.__version__; assert 'torch' not in sys.modules"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
