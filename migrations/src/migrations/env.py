"""What Alembic runs for each command: it uses the connection that the upgrade opened."""

import logging

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script.base import Script

log = logging.getLogger("migrations")


def run() -> None:
    context.configure(
        connection=context.config.attributes["connection"],
        transaction_per_migration=True,
        on_version_apply=_report,
    )
    with context.begin_transaction():
        context.run_migrations()


def _report(ctx: MigrationContext, step: MigrationInfo, heads: object, run_args: object) -> None:
    revision = step.up_revision
    assert isinstance(revision, Script)
    log.info("applied %s: %s", revision.revision, revision.doc)


# Alembic runs this file; importing it is the call.
run()
