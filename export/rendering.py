"""Text from Jinja templates: example code and the model card."""

from __future__ import annotations

import functools
from pathlib import Path

import jinja2

from export.markdown import listed, plain


def render(template: Path, **values: object) -> str:
    """The text of a template.

    Args:
        template: The file of the template.
        values: What it names. A name that is not given is an error.

    Returns:
        The text.
    """
    return _environment(template.parent).get_template(template.name).render(**values)


@functools.cache
def _environment(folder: Path) -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"listed": listed, "plain": plain}
    return made
