-- Tables to try it with.
\set ON_ERROR_STOP on

CREATE TABLE users (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE orders (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users,
    amount  numeric(12, 2) NOT NULL,
    status  text NOT NULL DEFAULT 'open'
);
-- Rules that look at old values need them in the log.
ALTER TABLE orders REPLICA IDENTITY FULL;
