CREATE TABLE person (id int PRIMARY KEY, name text);
CREATE TABLE ledger (id int PRIMARY KEY, person_id int REFERENCES person, amount numeric(12, 2), note text);
CREATE TABLE events (id int, created_at timestamptz, updated_at timestamptz, deleted bool, payload text, block int,
    exchange text, start_date date, callback text, exchange_rate numeric, at timestamptz, tags text[], data jsonb, doc tsvector);
CREATE TABLE update_log (id int);
CREATE TABLE "delete" ("update" int, "insert" int);
CREATE SEQUENCE ledger_seq;
CREATE VIEW ledger_view AS SELECT id, note FROM ledger;
CREATE FUNCTION write_log(what text) RETURNS int LANGUAGE sql AS 'INSERT INTO update_log VALUES (1) RETURNING id';
CREATE FUNCTION cleanup_all() RETURNS int LANGUAGE sql AS 'DELETE FROM ledger RETURNING id';
CREATE FUNCTION my_check(id int) RETURNS bool LANGUAGE sql AS 'DELETE FROM ledger RETURNING true';
INSERT INTO person VALUES (1, 'Ann'), (2, 'Bo');
INSERT INTO ledger VALUES (1, 1, 12.5, 'a'), (2, 1, 3, 'b'), (3, 2, 99, NULL);
INSERT INTO events (id, tags, data) VALUES (1, '{a,b}', '{"a": {"b": 1}}');
