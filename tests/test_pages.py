"""The web pages of the notebooks: one for each, whole in one file, readable without any other address."""

import re

import pytest
from bs4 import BeautifulSoup

from lth_utils import notebooks
from lth_utils.notebooks import pages


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Name -> text of the index and of the two smallest notebooks' pages, from a project that holds only these."""
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").mkdir()
    (root / "figures").symlink_to(notebooks.ROOT / "figures")
    for name in ("00_report", "02_figure_1"):
        (root / "notebooks" / f"{name}.ipynb").symlink_to(notebooks.FOLDER / f"{name}.ipynb")
    first = pages.build(root / "build", root)
    return {path.name: path.read_text(encoding="utf-8") for path in first.parent.iterdir()}


def test_the_index_leads_to_every_notebook_and_shows_the_picture_of_the_readme(texts):
    assert set(texts) == {"index.html", "00_report.html", "02_figure_1.html"}
    page = BeautifulSoup(texts["index.html"], "html.parser")
    links = [link["href"] for link in page.find_all("a") if not link["href"].startswith("#")]
    assert links == ["00_report.html", "02_figure_1.html"] and len(page.find_all("img")) == 1


def test_an_answer_takes_the_place_of_the_picture(tmp_path):
    first = pages.build(tmp_path / "build", tmp_path, "Tickets win.")
    assert "Tickets win." in (text := first.read_text(encoding="utf-8")) and "<img" not in text


def test_a_page_is_whole_in_one_file(texts):
    for name, text in texts.items():
        page = BeautifulSoup(text, "html.parser")
        assert not page.find_all(["script", "link", "iframe"]), name
        pictures = page.find_all("img")
        assert pictures and all(picture["src"].startswith("data:image/png") for picture in pictures), name
        assert all(len(picture["alt"]) > 20 for picture in pictures), name
        assert not re.search(r"@import|url\(['\"]?(?!data:)", text), name


def test_a_page_has_the_notebooks_question_as_title_and_leads_to_pages(texts):
    page = BeautifulSoup(texts["00_report.html"], "html.parser")
    assert page.title.get_text() == "00 What holds of the lottery ticket hypothesis?"
    links = {link["href"] for link in page.find_all("a")}
    assert "02_figure_1.html" in links and not any(".ipynb" in link for link in links)
