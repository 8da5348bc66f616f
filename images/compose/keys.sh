#!/bin/sh
# Makes the keys and passwords of an installation by compose.yaml, each once: what is there stays.
# Runs in the edge's image, in folders that it may write (under another place than /keys if one is given):
#   /keys/edge       what signs service tokens, the pepper of API keys, the first API key
#   /keys/functions  whom functions trust, and the services' way into the database
#   /keys/owner      the owner's way into it, and what Postgres makes its roles of
set -eu
umask 077
cd "${1:-/keys}"

made() { [ -s "$1" ]; }
keep() { # FILE MODE TEXT: all of it or nothing
  printf '%s\n' "${3:?}" >"$1.new"
  chmod "$2" "$1.new"
  mv "$1.new" "$1"
}
random() { python -P -c 'import secrets; print(secrets.token_hex(32))'; }

if ! made edge/service-key.json || ! made functions/trusted-keys.json; then
  rm -f edge/service-key.json functions/trusted-keys.json
  python -P -m edge.admin service-keys init --private edge/service-key.json --trusted functions/trusted-keys.json
fi
made edge/pepper || keep edge/pepper 0400 "$(random)"
made edge/api-key || keep edge/api-key 0400 "$(python -P -c 'from edge.auth import keys; print(keys.generate())')"
# Postgres, another user, reads these where it makes the roles; nobody else has the folder.
for role in superuser owner application; do
  made "owner/$role" || keep "owner/$role" 0444 "$(random)"
done
# As libpq reads them: https://www.postgresql.org/docs/current/libpq-pgpass.html
keep owner/owner.pgpass 0400 "*:*:*:dormouse_owner:$(cat owner/owner)"
keep functions/application.pgpass 0400 "*:*:*:dormouse_app:$(cat owner/application)"
