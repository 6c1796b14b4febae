"""Pages for people: templates of harness/templates, rendered to one self-contained HTML file each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.cache import new_file

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, target: Path, **values: Any) -> Path:
    """Renders TEMPLATES/`template` to `target`. Every value is escaped, but for what the template calls safe."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    page = environment.get_template(template).render(**values)
    with new_file(target) as aside:
        aside.write_text(page)
        aside.chmod(0o644)
    return target


def inline_svg(path: Path) -> str:
    """The <svg> element of a file that the laboratory drew itself, without what only stands before a document."""
    return re.sub(r"^.*?(?=<svg)", "", path.read_text(), count=1, flags=re.DOTALL)
