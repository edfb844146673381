"""What mkdocs does beside its own: pages of the repository's root are pages of the site. README.md is its front."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = {name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CITATION.cff")} | {
    "README.md": "index.md"
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the root's pages, whose links into docs/ become links beside them."""
    for name, place in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text.replace("](docs/", "](")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links out of docs/ lead to the root's pages."""
    depth = page.file.src_uri.count("/")
    return re.sub(
        rf"\]\({'../' * (depth + 1)}({'|'.join(map(re.escape, PAGES))})",
        lambda found: f"]({'../' * depth}{PAGES[found[1]]}",
        markdown,
    )
