#!/bin/sh
# Runs once in Postgres' image, when compose.yaml's database is new: the two roles, the database, pgvector.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres --set owner="$(cat /keys/owner/owner)" \
  --set application="$(cat /keys/owner/application)" <<'SQL'
create role dormouse_owner login password :'owner';
create role dormouse_app login password :'application';
create database dormouse owner dormouse_owner template template0 encoding 'UTF8';
\connect dormouse
create extension vector;
SQL
