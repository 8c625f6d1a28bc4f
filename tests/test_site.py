"""The static site of the notebooks: complete, linked up, and readable from disk without any other address."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from lth_utils import ROOT, notebooks
from lth_utils.notebooks import site


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Path -> parsed page of the site as `make html` writes it."""
    first = site.build(tmp_path_factory.mktemp("site"))
    assert first.name == "index.html"
    return {
        path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in first.parent.glob("*.html")
    }


def test_every_notebook_has_a_page_and_every_page_leads_to_all_others(pages):
    names = {path.name for path in pages}
    executed = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert names == {"index.html", "contributing.html"} | {f"{name}.html" for name in executed}
    assert len(executed) >= 2 and executed <= set(notebooks.names())
    for path, page in pages.items():
        links = page.header.find_all("a")
        assert {link["href"] for link in links} == names
        assert [link["href"] for link in links if link.has_attr("aria-current")] == [path.name]


def test_no_link_is_broken(pages):
    followed = 0
    for path, page in pages.items():
        for element in page.find_all(["a", "img"]):
            address = element.get("href") or element.get("src")
            parts = urlsplit(address)
            if parts.scheme:
                continue
            target = path.parent / unquote(parts.path) if parts.path else path
            assert target.is_file(), f"{path.name} leads to {address}"
            if parts.fragment:
                assert pages[target].find(id=parts.fragment), f"{path.name} leads to {address}"
            followed += 1
    assert followed >= 30


def test_no_page_needs_another_address_to_be_read(pages):
    for path, page in pages.items():
        assert not page.find_all(["script", "link", "iframe"]), path.name
        assert not any(urlsplit(image["src"]).scheme for image in page.find_all("img")), path.name
        assert "@import" not in page.style.string and "url(" not in page.style.string


def test_every_picture_has_a_text_and_every_page_a_title(pages):
    pictures = [image for page in pages.values() for image in page.find_all("img")]
    assert len(pictures) >= 5
    assert all(len(image.get("alt", "")) > 20 for image in pictures)
    assert all(image.parent["href"] == image["src"] for image in pictures), "at full size"
    titles = [page.title.get_text() for page in pages.values()]
    assert all(titles) and len(set(titles)) == len(titles)


def test_pages_fit_a_phone(pages):
    for path, page in pages.items():
        assert page.find("meta", attrs={"name": "viewport"}), path.name
        assert all("wide" in table.parent["class"] for table in page.find_all("table")), path.name
    for rule in (
        "img { display: block; max-width: 100%",
        "pre { margin: 0; overflow-x: auto",
        ".wide { overflow-x: auto",
    ):
        assert rule in site.STYLE


def test_headings_of_a_page_have_different_ids(pages):
    for path, page in pages.items():
        ids = [element["id"] for element in page.find_all(id=True)]
        assert len(set(ids)) == len(ids), path.name


@pytest.fixture
def little(tmp_path):
    """A repository of two pages with links of every kind."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "code.py").write_text("x = 1\n")
    links = (
        "[c](CONTRIBUTING.md#twice-2) [s](code.py) [d](notebooks) [o](../outside) [w](https://example.org/a)"
    )
    (tmp_path / "README.md").write_text(f"<!-- secret -->\n# Title & more\n\n{links}\n")
    (tmp_path / "CONTRIBUTING.md").write_text("## Twice\n\n## Twice\n")
    return tmp_path


def test_a_link_leads_to_a_page_or_a_copy_or_becomes_text(little):
    first = site.build(little / "out", little)
    page = BeautifulSoup(first.read_text(), "html.parser")
    links = {link.get_text(): link["href"] for link in page.main.find_all("a")}
    assert links == {
        "c": "contributing.html#twice-2",
        "s": "files/code.py.txt",
        "w": "https://example.org/a",
    }
    assert (first.parent / "files/code.py.txt").read_text() == "x = 1\n"
    assert "d o" in page.main.get_text() and "secret" not in first.read_text()
    assert page.title.get_text() == "Title & more"


def test_a_missing_page_is_named(little):
    (little / "CONTRIBUTING.md").unlink()
    with pytest.raises(FileNotFoundError, match=r"CONTRIBUTING\.md"):
        site.build(little / "out", little)


def test_nothing_outside_of_the_folder_is_written(little):
    before = set(little.rglob("*"))
    site.build(little / "out", little)
    assert {
        path for path in set(little.rglob("*")) - before if Path(little / "out") not in [path, *path.parents]
    } == set()
