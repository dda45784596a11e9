"""Tables of databases that are named by a URL."""

from __future__ import annotations

import dataclasses
import os
import re

from zoo.data.table import Table, of_frame
from zoo.data.tables import chosen_table, object_frame
from zoo.errors import UserError


def read_database(url: str, table: str | None) -> Table:
    """A table or view of a database, by SQLAlchemy.

    Args:
        url: A URL of SQLAlchemy, e.g. `postgresql+psycopg://ada:$PASSWORD@host/shop`. `$NAME` stands for an
            environment variable. A password may not be in it otherwise, because a run keeps the URL.
        table: The table, `schema.table` where it is not in the default schema; may be left out if there is only one.

    Returns:
        A `Table`.

    Raises:
        UserError: If SQLAlchemy or a driver is missing, the database cannot be reached, or has no such table.
    """
    shown = _without_password(url)
    try:
        import sqlalchemy
    except ImportError as error:
        raise UserError(f'{shown}: databases need sqlalchemy: pip install "recozoo[tables]"') from error
    if re.search(r"://[^/@]*:(?!\$)[^/@]+@", url):
        raise UserError(
            f"{shown}: a run keeps the URL, so its password must not be in it. Put the password into an environment "
            "variable and write $NAME in its place."
        )
    try:
        engine = sqlalchemy.create_engine(os.path.expandvars(url))
        with engine.connect() as connection:
            found = sqlalchemy.inspect(connection)
            schema, _, name = (table or "").rpartition(".")
            tables = [*found.get_table_names(schema or None), *found.get_view_names(schema or None)]
            name = chosen_table(shown, tables, name or None)
            chosen = sqlalchemy.Table(name, sqlalchemy.MetaData(), schema=schema or None, autoload_with=connection)
            rows = connection.execute(sqlalchemy.select(chosen)).fetchall()
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        reason = str(error).splitlines()[0].replace(os.path.expandvars(url), shown)
        raise UserError(f"{shown}: the table could not be read ({reason}).") from error
    frame = object_frame([tuple(row) for row in rows], list(chosen.columns.keys()))
    full = f"{schema}.{name}" if schema else name
    return dataclasses.replace(of_frame(frame, shown), read_by={"table": full})


def _without_password(url: str) -> str:
    return re.sub(r"(://[^/@:]*):[^/@]*@", r"\1:***@", url)
