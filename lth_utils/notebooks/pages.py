"""The executed notebooks as web pages, by nbconvert: one file each, which asks no other file and no host for anything."""

import re
from pathlib import Path
from typing import Any

from lth_utils import ROOT
from lth_utils.notebooks import rules

# nbconvert's own page without the scripts that it would fetch from elsewhere: our notebooks hold no TeX and no widget.
TEMPLATE = """\
{% extends "lab/index.html.j2" %}
{% block html_head_js %}{% endblock %}
{% block html_head_js_mathjax %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
"""


def build(out_dir: Path = ROOT / "build" / "html", root: Path = ROOT, answer: str = "") -> Path:
    """Write a page per notebook, and index.html with a link to each; return the latter.

    Above the links stand the README's heading and, unless there is an answer of another kind, its picture.
    """
    from nbformat import v4

    out_dir.mkdir(parents=True, exist_ok=True)
    links = []
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = rules.read(path)
        links.append(f"- [{rules.title(notebook)}]({path.stem}.html)")
        (out_dir / f"{path.stem}.html").write_text(_page(notebook, path.parent), encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    heading, picture = (re.search(pattern, readme, re.M)[0] for pattern in ("^# .*$", r"^!\[.*\]\(.*\)$"))
    text = "\n\n".join([heading, answer or picture, "\n".join(links)])
    first = v4.new_notebook(cells=[v4.new_markdown_cell(text)])
    (out_dir / "index.html").write_text(_page(first, root), encoding="utf-8")
    return out_dir / "index.html"


def _page(notebook: Any, folder: Path) -> str:
    """One self-contained page; folder: where the notebook's links to pictures start. Links to notebooks lead to pages."""
    from nbconvert import HTMLExporter

    notebook.metadata["title"] = rules.title(notebook)
    exporter = HTMLExporter(raw_template=TEMPLATE, embed_images=True)
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"path": str(folder)}})
    return re.sub(r'(href="\w+)\.ipynb', r"\1.html", page)
