-- All that walherald needs of PostgreSQL: a role that may replicate and read nothing,
-- a publication, and a schema of its own. psql runs this once, as the superuser, in
-- the database POSTGRES_DB.
\set ON_ERROR_STOP on
\getenv password WALHERALD_PASSWORD

-- The log holds what is published of every table; no right to select is needed.
CREATE ROLE walherald LOGIN REPLICATION CONNECTION LIMIT 10 PASSWORD :'password';

-- Where the slot's memory and parked notifications are.
CREATE SCHEMA walherald AUTHORIZATION walherald;

-- Made here, so that the role need own no table and create nothing in the database.
CREATE PUBLICATION walherald FOR TABLES IN SCHEMA public;
