"""People: users of a tenant, their passwords and their sessions.

Plain functions over a connection that sees one tenant (`Database.tenant`), so that routes and the command line share
them; `passwords` and `sessions` hold what is not a row.
"""
