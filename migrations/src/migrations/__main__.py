"""`python -m migrations`: bring the database to the newest schema. Does nothing where it has it already."""

import logging
import os
import sys

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from migrations.settings import SettingsError, from_env
from migrations.upgrade import DatabaseUnreachableError, upgrade


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    log = logging.getLogger("migrations")
    try:
        upgrade(from_env(os.environ))
    except (SettingsError, DatabaseUnreachableError) as error:
        log.error("%s", error)
        return 2
    except (psycopg.Error, SQLAlchemyError) as error:
        log.error("the database refused: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
