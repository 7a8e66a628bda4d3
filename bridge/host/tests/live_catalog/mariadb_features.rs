//! A MariaDB schema with every feature, against an independent reader of information_schema and SHOW.

use std::collections::BTreeSet;

use crate::engines::Engine;
use crate::lines::{self, bare};
use crate::same_schema::{harvested, harvested_at};

const SCHEMA: &[&str] = &[
    "CREATE TABLE customer (id bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, email varchar(100) NOT NULL COMMENT 'Where to write',
       name varchar(80) CHARACTER SET latin1 COLLATE latin1_bin DEFAULT 'none', feels enum('sad', 'it''s ok', 'happy') DEFAULT 'sad',
       likes set('tea', 'milk'), doc json, born datetime(3) DEFAULT current_timestamp(3) ON UPDATE current_timestamp(3),
       born_year int GENERATED ALWAYS AS (year(born)) STORED, short varchar(10) AS (left(name, 10)) VIRTUAL,
       score decimal(10, 3) DEFAULT 0.5, flag bit(3), UNIQUE KEY customer_email (email),
       CONSTRAINT score_low CHECK (score < 100)) COMMENT 'Who buys'",
    "CREATE TABLE sale (id int NOT NULL, region varchar(8) NOT NULL, customer_id bigint unsigned, note text, at timestamp NULL,
       spot point NOT NULL, PRIMARY KEY (region, id), KEY sale_note (note(20), at DESC), FULLTEXT KEY sale_words (note),
       SPATIAL KEY sale_spot (spot), KEY sale_hidden (at) IGNORED,
       CONSTRAINT sale_customer FOREIGN KEY (customer_id) REFERENCES customer (id) ON DELETE SET NULL ON UPDATE CASCADE,
       CHECK (id > 0))",
    "CREATE TABLE refund (id int NOT NULL PRIMARY KEY, sale_region varchar(8), sale_id int, again int,
       CONSTRAINT refund_sale FOREIGN KEY (sale_region, sale_id) REFERENCES sale (region, id),
       CONSTRAINT refund_again FOREIGN KEY (again) REFERENCES refund (id))",
    "CREATE TABLE event (id int NOT NULL, at date NOT NULL) PARTITION BY RANGE (year(at))
       (PARTITION p0 VALUES LESS THAN (2024), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE spread (id int NOT NULL PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 4",
    "CREATE TABLE old_rows (id int) ENGINE = MyISAM",
    "CREATE SEQUENCE ticket_number START WITH 100",
    "CREATE VIEW big_sale AS SELECT s.id, c.email FROM sale s JOIN customer c ON c.id = s.customer_id",
    "CREATE SQL SECURITY INVOKER VIEW own_customer AS SELECT id, name FROM customer WHERE id < 10 WITH CASCADED CHECK OPTION",
    "CREATE FUNCTION total(a int, b decimal(5, 2)) RETURNS int DETERMINISTIC COMMENT 'Both' RETURN a + b",
    "CREATE PROCEDURE tidy(IN days int, OUT gone bigint, INOUT both_ways varchar(9)) BEGIN SET gone = days; END",
    "CREATE PROCEDURE total() BEGIN END",
    "CREATE TRIGGER sale_before BEFORE INSERT ON sale FOR EACH ROW SET NEW.note = 'x'",
    "CREATE TRIGGER sale_after AFTER DELETE ON sale FOR EACH ROW SET @gone = OLD.id",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY COMMENT 'At night' DO DELETE FROM refund WHERE id < 0",
    "CREATE TABLE \"Odd.Näme - x\" (\"Ünï \"\"code\"\"\" int PRIMARY KEY, \"select\" int UNIQUE, \"a.b\" varchar(9))",
];

/// Lines that the server says; `$` stands for the schema.
const READERS: &[(&str, &str)] = &[
    (
        "object",
        "SELECT CONCAT('table/', IF(EXISTS (SELECT 1 FROM information_schema.PARTITIONS p WHERE p.TABLE_SCHEMA = t.TABLE_SCHEMA
             AND p.TABLE_NAME = t.TABLE_NAME AND p.PARTITION_NAME IS NOT NULL), 'partitioned', 'base'), ' ', TABLE_NAME, '() ', TABLE_COMMENT)
           FROM information_schema.TABLES t WHERE TABLE_SCHEMA = '$' AND TABLE_TYPE = 'BASE TABLE'
         UNION ALL SELECT CONCAT('view/ ', TABLE_NAME, '() ') FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '$'
         UNION ALL SELECT CONCAT('sequence/ ', TABLE_NAME, '() ') FROM information_schema.TABLES
           WHERE TABLE_SCHEMA = '$' AND TABLE_TYPE = 'SEQUENCE'
         UNION ALL SELECT CONCAT('routine/', LOWER(type), ' ', name, '() ', comment) FROM mysql.proc WHERE db = '$'
         UNION ALL SELECT CONCAT('trigger/', EVENT_MANIPULATION, ' ', TRIGGER_NAME, '(', EVENT_OBJECT_TABLE, ') ')
           FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '$'
         UNION ALL SELECT CONCAT('event/', LOWER(IF(interval_value IS NULL, 'ONE TIME', 'RECURRING')), ' ', name, '() ', comment)
           FROM mysql.event WHERE db = '$'",
    ),
    (
        "column",
        "SELECT CONCAT(TABLE_NAME, ' #', ORDINAL_POSITION, ' ', COLUMN_NAME, ' ', COLUMN_TYPE, ' null=', IS_NULLABLE = 'YES',
           ' default=', IF(COLUMN_DEFAULT IS NULL OR COLUMN_DEFAULT = 'NULL', '-', COLUMN_DEFAULT), ' extra=',
           IF(EXTRA = '', '-', LOWER(EXTRA)), ' generated=', COALESCE(REGEXP_REPLACE(GENERATION_EXPRESSION, '[() `\"]', ''), '-'),
           ' labels=', IF(DATA_TYPE IN ('enum', 'set'), REPLACE(REPLACE(REPLACE(SUBSTR(COLUMN_TYPE, LOCATE('(', COLUMN_TYPE) + 2,
             LENGTH(COLUMN_TYPE) - LOCATE('(', COLUMN_TYPE) - 3), ''',''', '|'), '''''', ''''), '', ''), '-'),
           ' collation=', COALESCE(COLLATION_NAME, '-'), ' ', COLUMN_COMMENT)
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '$'",
    ),
    (
        "parameter",
        "SELECT CONCAT(SPECIFIC_NAME, '() #', ORDINAL_POSITION, ' ', PARAMETER_MODE, ' ', PARAMETER_NAME, ' ', DTD_IDENTIFIER)
         FROM information_schema.PARAMETERS WHERE SPECIFIC_SCHEMA = '$' AND PARAMETER_NAME IS NOT NULL",
    ),
    (
        "index",
        "SELECT CONCAT(TABLE_NAME, ' ', INDEX_NAME, ' ', LOWER(MIN(INDEX_TYPE)), ' unique=', 1 - MIN(NON_UNIQUE), ' primary=',
           INDEX_NAME = 'PRIMARY', ' [', GROUP_CONCAT(CONCAT(COLUMN_NAME, IF(SUB_PART IS NULL, '', CONCAT('(', SUB_PART, ')')),
             IF(COLLATION = 'D', ' desc', '')) ORDER BY SEQ_IN_INDEX SEPARATOR ', '), '] where -')
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = '$' GROUP BY TABLE_NAME, INDEX_NAME",
    ),
    (
        "foreign key",
        "SELECT CONCAT(r.TABLE_NAME, ' ', r.CONSTRAINT_NAME, ' [', GROUP_CONCAT(k.COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR ', '),
           '] to ', r.UNIQUE_CONSTRAINT_SCHEMA, '.', r.REFERENCED_TABLE_NAME, ' [',
           GROUP_CONCAT(k.REFERENCED_COLUMN_NAME ORDER BY k.ORDINAL_POSITION SEPARATOR ', '), '] update=', r.UPDATE_RULE,
           ' delete=', r.DELETE_RULE, ' deferrable=0')
         FROM information_schema.REFERENTIAL_CONSTRAINTS r JOIN information_schema.KEY_COLUMN_USAGE k
           ON k.CONSTRAINT_SCHEMA = r.CONSTRAINT_SCHEMA AND k.CONSTRAINT_NAME = r.CONSTRAINT_NAME AND k.TABLE_NAME = r.TABLE_NAME
         WHERE r.CONSTRAINT_SCHEMA = '$' GROUP BY r.TABLE_NAME, r.CONSTRAINT_NAME, r.UNIQUE_CONSTRAINT_SCHEMA,
           r.REFERENCED_TABLE_NAME, r.UPDATE_RULE, r.DELETE_RULE",
    ),
    (
        "constraint",
        "SELECT CONCAT(TABLE_NAME, ' ', CONSTRAINT_NAME, ' check ', REGEXP_REPLACE(CHECK_CLAUSE, '[() `\"]', ''))
           FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = '$'
         UNION ALL SELECT CONCAT(TABLE_NAME, ' ', INDEX_NAME, ' unique [', GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX
             SEPARATOR ', '), ']') FROM information_schema.STATISTICS
           WHERE TABLE_SCHEMA = '$' AND NON_UNIQUE = 0 AND INDEX_NAME <> 'PRIMARY' GROUP BY TABLE_NAME, INDEX_NAME",
    ),
    (
        "partition",
        "SELECT CONCAT(TABLE_NAME, ' PARTITION BY ', MIN(PARTITION_METHOD), ' (', MIN(PARTITION_EXPRESSION), '), ', COUNT(*), ' partitions')
         FROM information_schema.PARTITIONS WHERE TABLE_SCHEMA = '$' AND PARTITION_NAME IS NOT NULL GROUP BY TABLE_NAME",
    ),
];

#[test]
fn live_every_feature_of_mariadb_is_as_the_server_says() {
    let Some(mut engine) = Engine::mariadb("features") else { return };
    SCHEMA.iter().for_each(|sql| engine.execute(sql));
    let (_data, host, run_id) = harvested(&engine);
    let schema = engine.schema().to_owned();
    let ours = lines::of_schema(&host, run_id, &schema);
    for (kind, sql) in READERS {
        let sql = sql.replace('$', &schema);
        let theirs: BTreeSet<String> = engine.rows(&sql).into_iter().map(|mut row| row.remove(0)).collect();
        lines::assert_equal(kind, &ours.lines[kind], &theirs);
    }
    let reads: Vec<&String> = ours.lines["reads"].iter().collect();
    let expected = ["big_sale reads $.customer", "big_sale reads $.sale", "own_customer reads $.customer"];
    assert_eq!(reads, expected.map(|line| line.replace('$', &schema)).iter().collect::<Vec<_>>());
    let definitions = [
        "SELECT 'view', TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = '$'",
        "SELECT 'routine', name, CAST(body AS char) FROM mysql.proc WHERE db = '$' AND name = 'tidy'",
        "SELECT 'trigger', TRIGGER_NAME, ACTION_STATEMENT FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = '$'",
        "SELECT 'event', name, CAST(body AS char) FROM mysql.event WHERE db = '$'",
    ];
    for row in definitions.iter().flat_map(|sql| engine.rows(&sql.replace('$', &schema))) {
        let ours = &ours.definitions[&(row[0].clone(), row[1].clone())];
        assert!(bare(ours).contains(&bare(&row[2])), "{} {}: {ours} instead of {}", row[0], row[1], row[2]);
    }
    host.close();
}

/// An ordinary role sees its tables in full; bodies that it may not read are absent with a reason.
#[test]
fn live_an_ordinary_role_of_mariadb_is_told_what_it_may_not_read() {
    let Some(mut engine) = Engine::mariadb("role") else { return };
    let schema = engine.schema().to_owned();
    let role = format!("catalog_reader_{}", std::process::id());
    engine.execute("CREATE TABLE open (id int PRIMARY KEY, note text)");
    engine.execute("CREATE TABLE shut (id int PRIMARY KEY)");
    engine.execute("CREATE VIEW seen AS SELECT id FROM open");
    engine.execute("CREATE PROCEDURE closed() BEGIN END");
    engine.execute(&format!("CREATE USER {role}@'%' IDENTIFIED BY 'x'"));
    for what in [
        format!("SELECT ON {schema}.open"),
        format!("SELECT ON {schema}.seen"),
        format!("EXECUTE ON PROCEDURE {schema}.closed"),
    ] {
        engine.execute(&format!("GRANT {what} TO {role}@'%'"));
    }
    let url = engine.url();
    let server = url.rsplit('@').next().expect("a server");
    let (_data, host, run_id) = harvested_at(&format!("mysql://{role}:x@{server}"));
    let ours = lines::of_schema(&host, run_id, &schema);
    let names: Vec<&String> = ours.lines["object"].iter().collect();
    assert_eq!(names, ["routine/procedure closed() ", "table/base open() ", "view/ seen() "]);
    assert!(
        !ours.definitions.keys().any(|(kind, _)| kind == "view" || kind == "routine"),
        "{:?}",
        ours.definitions
    );
    let view = host.catalog().describe_view(run_id, &schema, "seen").expect("a view");
    assert!(view.definition_reason.is_some_and(|reason| reason.contains("SHOW VIEW")));
    host.close();
    engine.execute(&format!("DROP USER {role}@'%'"));
}
