"""The documentation: every link leads somewhere, and every decision is listed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def build(config: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Run mkdocs as `make docs` does."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-f", str(config), "-d", str(site)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "operations" / "index.html").exists()


@pytest.mark.slow
def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    config = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(config[: config.index("# adr/index.md")])
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[there is no such page](elsewhere.md)\n")
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode != 0
    assert "elsewhere.md" in done.stderr


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md"]
)
def test_links_beside_the_documentation_lead_to_files(name: str) -> None:
    page = ROOT / name
    missing = [to for to in LINK.findall(page.read_text()) if not (page.parent / to).exists()]
    assert missing == []


def test_every_decision_is_listed_once() -> None:
    listed = LINK.findall((DOCS / "adr" / "index.md").read_text())
    assert listed == sorted(path.name for path in (DOCS / "adr").glob("0*.md"))


def test_paths_that_the_documentation_names_exist() -> None:
    """`src/…`, `tests/…` and `bench/…` in code spans; `…` in one stands for anything."""
    named = re.compile(r"`((?:src|tests|bench|deploy|docs)/[\w./-]+)`")
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    missing = {
        f"{page.relative_to(ROOT)}: {path}"
        for page in pages
        for path in named.findall(page.read_text())
        if not (ROOT / path).exists() and path != "docs/pictures/"
    }
    assert missing == set()
