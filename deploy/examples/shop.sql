-- The tables that the examples of docs/cookbook.md are about.

CREATE TABLE users (
	id bigint PRIMARY KEY,
	email text NOT NULL,
	name text,
	plan text NOT NULL DEFAULT 'free',
	status text NOT NULL DEFAULT 'active'
);

CREATE TABLE orders (
	id bigint PRIMARY KEY,
	customer text NOT NULL,
	total numeric(10,2) NOT NULL,
	status text NOT NULL DEFAULT 'pending'
);

CREATE TABLE inventory (
	sku text PRIMARY KEY,
	quantity int NOT NULL
);

CREATE TABLE invoices (
	id bigint PRIMARY KEY,
	customer text NOT NULL,
	amount numeric(10,2) NOT NULL
);

CREATE TABLE payments (
	id bigint PRIMARY KEY,
	order_id bigint NOT NULL,
	status text NOT NULL DEFAULT 'processing'
);

CREATE TABLE roles (
	id bigint PRIMARY KEY,
	name text NOT NULL
);

CREATE TABLE api_keys (
	id bigint PRIMARY KEY,
	owner text NOT NULL,
	secret text NOT NULL
);

-- Rules that ask what a value was before, or that tell what was deleted, need the whole
-- old row in the log.
ALTER TABLE users REPLICA IDENTITY FULL;
ALTER TABLE orders REPLICA IDENTITY FULL;
ALTER TABLE inventory REPLICA IDENTITY FULL;
ALTER TABLE payments REPLICA IDENTITY FULL;
