"""The executed notebooks, the README and CONTRIBUTING.md as one static site that opens from disk.

Every page holds its own style; its pictures, each a link to itself at full size, and what it links to in the
repository are copied beside it under files/. No page needs an address outside the site: no script, no font, no style
sheet. Knows nothing of what a notebook says.
"""

import base64
import html
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lth_utils import ROOT

SOURCES = {
    "README.md": "index.html",
    "CONTRIBUTING.md": "contributing.html",
}  # and every notebook under its own name
PLAIN = {
    ".py",
    ".md",
    ".cff",
    ".toml",
    ".lock",
    ".yml",
    "",
}  # browsers would save these instead of showing them
LEAST_HEADINGS = 3  # a page with fewer needs no list of contents

STYLE = """
:root { --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --back: #f6f8fa; --link: #0550ae; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
header, footer { background: var(--back); border-bottom: 1px solid var(--line); padding: .6rem 1rem; }
footer { border: 0; border-top: 1px solid var(--line); margin-top: 3rem; }
header nav, footer nav { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; max-width: 66rem; margin: 0 auto; }
footer nav { justify-content: space-between; }
nav a { padding: .3rem 0; text-decoration: none; }
nav a[aria-current] { color: var(--ink); font-weight: 600; }
main { max-width: 66rem; margin: 0 auto; padding: 1rem; }
main > *, .cell { min-width: 0; }
h1 { font-size: 1.7rem; line-height: 1.25; }
h2 { font-size: 1.3rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
details.contents { margin: 1rem 0; color: var(--quiet); }
img { display: block; max-width: 100%; height: auto; }
pre { margin: 0; overflow-x: auto; font: 13px/1.45 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { font: .88em ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre code { font: inherit; }
.rendered_html pre, .input pre { background: var(--back); border: 1px solid var(--line); padding: .6rem .8rem; }
.output { margin: .5rem 0 1.2rem; }
.output_area pre { padding: .2rem .8rem; border-left: 3px solid var(--line); }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: 14px; line-height: 1.35; }
th, td { border: 1px solid var(--line); padding: .3rem .55rem; text-align: left; vertical-align: top; min-width: 3.2rem; }
td { overflow-wrap: normal; }
thead th { background: var(--back); }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  h1 { font-size: 1.4rem; }
  pre { font-size: 12px; }
  table { font-size: 13px; }
  table:has(th:nth-child(5)) { min-width: 46rem; } /* scrolls in its box instead of one word per line */
  nav a { padding: .5rem 0; }
}
@media print { header, footer, details.contents { display: none; } pre { white-space: pre-wrap; } }
"""


@dataclass(frozen=True)
class Page:
    """One page to be: the file it is made from, its name in the site, how the navigation calls it, its cells."""

    source: Path
    name: str
    label: str
    notebook: Any


def build(out_dir: Path = ROOT / "build" / "html", root: Path = ROOT) -> Path:
    """Write the whole site into out_dir and return its first page. FileNotFoundError where a source is missing.

    Links to a file of the repository lead to a copy of it; links to a folder or out of the repository's reach become
    plain text, so that the site can be handed around alone.
    """
    root, out_dir = Path(root).resolve(), Path(out_dir)
    pages = _pages(root)
    out_dir.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out_dir / "files", ignore_errors=True)
    names = {page.source: page.name for page in pages}
    for number, page in enumerate(pages):
        body = _body(page, names, root, out_dir)
        text = _shell(body, pages, number)
        (out_dir / page.name).write_text(text, encoding="utf-8")
    return out_dir / pages[0].name


def _pages(root):
    from nbformat import v4

    from lth_utils.notebooks import rules

    pages = []
    for source, name in SOURCES.items():
        cell = v4.new_markdown_cell((root / source).read_text(encoding="utf-8"))
        label = "Overview" if name == "index.html" else "Contributing"
        pages.append(Page(root / source, name, label, v4.new_notebook(cells=[cell])))
    for path in sorted((root / "notebooks").glob("[0-9]*.ipynb")):
        label = path.stem.replace("_", " ")
        pages.insert(-1, Page(path, f"{path.stem}.html", label, rules.read(path)))
    return pages


def _body(page, names, root, out_dir):
    """The page's content as an element tree: headings with ids, wide things in boxes of their own, links that hold."""
    from bs4 import BeautifulSoup, Comment
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    rendered, _ = exporter.from_notebook_node(page.notebook)
    body = BeautifulSoup(rendered, "html.parser")
    for comment in body.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    taken = set()
    for heading in body.find_all(re.compile("^h[1-6]$")):
        heading["id"] = _free(slug(heading.get_text()), taken)
    for table in body.find_all("table"):
        table.wrap(body.new_tag("div", attrs={"class": "wide", "tabindex": "0"}))
    for block in body.find_all("pre"):
        block["tabindex"] = "0"  # scrolls by keyboard too
    for tag, attribute in (("a", "href"), ("img", "src")):
        for element in body.find_all(tag, attrs={attribute: True}):
            target = _target(element[attribute], page, names, root, out_dir)
            if target is None:
                element.unwrap()
            else:
                element[attribute] = target
    _open_pictures(body, page, out_dir)
    return body


def _open_pictures(body, page, out_dir):
    """Pictures inside a page become files; every picture leads to its file: on a phone they are small."""
    for number, image in enumerate(body.find_all("img")):
        kind, _, content = image["src"].partition(";base64,")
        if kind.startswith("data:image/"):
            file = Path("files") / f"{Path(page.name).stem}-{number}.{kind.removeprefix('data:image/')}"
            (out_dir / file).parent.mkdir(parents=True, exist_ok=True)
            (out_dir / file).write_bytes(base64.b64decode(content))
            image["src"] = file.as_posix()
        image.wrap(body.new_tag("a", attrs={"href": image["src"]}))


def slug(text: str) -> str:
    """A heading as an id: small letters and digits, joined by "-", as GitHub makes them."""
    return re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", text.lower()).strip())


def _free(name, taken):
    number, free = 1, name
    while free in taken:
        number, free = number + 1, f"{name}-{number}"
    taken.add(free)
    return free


def _target(address, page, names, root, out_dir):
    """Where a link of a page leads inside the site; None for what the site cannot hold."""
    parts = urlsplit(address)
    if parts.scheme or address.startswith("#"):
        return address
    path = (page.source.parent / unquote(parts.path)).resolve()
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    if path in names:
        return names[path] + fragment
    if not path.is_file() or not path.is_relative_to(root):
        return None
    copy = Path("files") / path.relative_to(root)
    if copy.suffix in PLAIN:
        copy = copy.with_name(f"{copy.name}.txt")
    (out_dir / copy).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, out_dir / copy)
    return copy.as_posix()


def _shell(body, pages, number):
    """The whole page around its content: navigation above, the pages before and after below."""
    page = pages[number]
    links = "\n".join(
        f'<a href="{other.name}"{" aria-current=page" if other is page else ""}>{html.escape(other.label)}</a>'
        for other in pages
    )
    around = [(number - 1, "&larr; {}"), (number + 1, "{} &rarr;")]
    ends = "\n".join(
        f'<a href="{pages[i].name}">{arrow.format(html.escape(pages[i].label))}</a>'
        for i, arrow in around
        if 0 <= i < len(pages)
    )
    heading = body.find("h1")
    title = heading.get_text() if heading else page.label
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{STYLE}{_code_style()}</style>
</head>
<body>
<header><nav aria-label="pages">
{links}
</nav></header>
<main>
{_contents(body)}
{body}
</main>
<footer><nav aria-label="before and after">
{ends}
</nav></footer>
</body>
</html>
"""


def _contents(body):
    headings = body.find_all("h2")
    if len(headings) < LEAST_HEADINGS:
        return ""
    items = "\n".join(f'<li><a href="#{h["id"]}">{html.escape(h.get_text())}</a></li>' for h in headings)
    return f'<details class="contents"><summary>On this page</summary>\n<ul>\n{items}\n</ul></details>'


def _code_style():
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="default").get_style_defs(".highlight")
