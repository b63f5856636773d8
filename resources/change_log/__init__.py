"""Reads the change log of a database: the row binlog of MySQL and MariaDB, the WAL of PostgreSQL.

Belongs here: positions in the log, decoding it, what the server must be set to, and the last state of each
key that a stretch of the log leaves. Does not belong here: raw tables, batches and what becomes of the changes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from resources.change_log.base import ChangeLog, Drain, LoggedTable, LogLostError, Problem, TableChanges
from resources.change_log.mysql_binlog import MySqlBinlog
from resources.change_log.postgres_wal import PostgresWal
from resources.errors import PermanentError
from resources.sql_source import SqlSource

__all__ = ["ChangeLog", "Drain", "LogLostError", "LoggedTable", "Problem", "TableChanges", "open_change_log"]


def open_change_log(url: str, tables: list[LoggedTable], *, name: str) -> ChangeLog:
    """The change log of the database at ``url``; nothing is connected yet.

    ``name``: what the platform is called at the server; two platforms that read one database need two names.
    Raises :class:`PermanentError` where the URL cannot be understood or the database has no change log.
    """
    source = SqlSource(url)
    match source.dialect:
        case "mysql":
            return MySqlBinlog(source, url, tables)
        case "postgresql":
            return PostgresWal(source, url, tables, name=name)
        case _:
            raise PermanentError(
                f"{urlsplit(url).scheme} databases have no change log that could be read",
                where=source.name,
                remedy="set SHOPSPHERE_SHOP_DB_CAPTURE=poll",
            )
