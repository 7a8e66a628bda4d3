CREATE TABLE person (id int PRIMARY KEY, name varchar(80));
CREATE TABLE ledger (id int PRIMARY KEY, person_id int, amount decimal(12, 2), note varchar(80), KEY ledger_note (note));
CREATE TABLE events (id int, created_at datetime, updated_at datetime, deleted bool, payload text, block int,
    exchange text, data longtext);
CREATE TABLE update_log (id int);
CREATE TABLE `delete` (`update` int, `insert` int);
CREATE TABLE docs (id int, title varchar(80), body text, FULLTEXT (title, body));
CREATE TABLE versions (id int) WITH SYSTEM VERSIONING;
CREATE SEQUENCE s;
CREATE VIEW ledger_view AS SELECT id, note FROM ledger;
CREATE FUNCTION f() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO update_log VALUES (1); RETURN 1; END;
CREATE PROCEDURE p() DELETE FROM ledger;
INSERT INTO person VALUES (1, 'Ann'), (2, 'Bo');
INSERT INTO ledger VALUES (1, 1, 12.5, 'a'), (2, 1, 3, 'b'), (3, 2, 99, NULL);
INSERT INTO events (id, data) VALUES (1, '{"a": 1}')
