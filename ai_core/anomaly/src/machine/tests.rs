//! Each rule with statements that must and must not fire it.

use super::*;
use crate::rules::{for_each_rule, injection_risk};
use Dialect::{MySql, Postgres, Sqlite};

fn signals(sql: &str, d: Dialect) -> u64 {
    analyse(sql.as_bytes(), d, SqlMode::default(), &mut Scratch::default()).signals
}

fn rules(sql: &str, d: Dialect) -> Vec<&'static str> {
    let mut names = Vec::new();
    for_each_rule(signals(sql, d), |name, _| names.push(name));
    names
}

fn fires(rule: &str, statements: &[(Dialect, &str)]) {
    for (d, sql) in statements {
        let found = rules(sql, *d);
        assert!(found.contains(&rule), "{rule} missing in {found:?}: {sql}");
        assert!(injection_risk(signals(sql, *d)) > 0.19, "{sql}");
    }
}

fn clean(statements: &[(Dialect, &str)]) {
    for (d, sql) in statements {
        assert_eq!(rules(sql, *d), [""; 0], "{d:?} {sql}");
    }
}

#[test]
fn tautologies() {
    fires(
        "sqli.tautology",
        &[
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR 1=1"),
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR\n/* */ 2 > 1"),
            (MySql, "SELECT a FROM t WHERE b = 5 || 'a'='a'"),
            (MySql, "SELECT a FROM t WHERE b = 5 OR 1"),
            (Sqlite, "SELECT a FROM t WHERE b = 5 OR TRUE"),
            (Sqlite, "SELECT a FROM t WHERE b = 5 OR NOT 0"),
            (Postgres, "SELECT a FROM t WHERE (b = 'x' OR (1=1)) AND c = 2"),
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR 'abc' LIKE '%'"),
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR c = c"),
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR lower(t.c) = lower(t.c)"),
            (Postgres, "SELECT a FROM t WHERE b = 'x' OR 2*3 = 6"),
            (MySql, "SELECT a FROM t WHERE b = 'x' OR '1' = 1"),
            (Postgres, "SELECT a FROM t GROUP BY a HAVING max(b) > 5 OR 3=3"),
            (Postgres, "SELECT a FROM t JOIN u ON t.i = 4 OR 3=3"),
            (Postgres, "DELETE FROM t WHERE b = 'x' OR name LIKE '%'"),
        ],
    );
}

#[test]
fn contradictions() {
    fires(
        "sqli.contradiction",
        &[
            (Postgres, "SELECT a FROM t WHERE b = 'x' AND 1=2"),
            (Postgres, "SELECT a FROM t WHERE b = 5 AND 7185=7185"),
            (Postgres, "SELECT a FROM t WHERE b = 5 HAVING 1=2"),
            (Sqlite, "SELECT a FROM t WHERE b = '' AND 'x'"),
            (Sqlite, "SELECT a FROM t ORDER BY a AND 1=2"),
            (Sqlite, "INSERT INTO t VALUES (1, 'x' OR 5=6, 2)"),
        ],
    );
    clean(&[
        (Postgres, "SELECT a FROM t WHERE 1=1 AND b = 5"),
        (Postgres, "SELECT a FROM t WHERE 1=0"),
        (MySql, "SELECT a FROM t WHERE 1=1 AND ( 0 = 1 ) AND b = 5"),
        (Postgres, "SELECT a FROM t WHERE b = 5 AND (false OR (c = 1) OR (c = 2))"),
        (Postgres, "SELECT a FROM t WHERE b IN (NULL) AND (1 != 1)"),
        (Postgres, "SELECT a FROM t WHERE b IN (SELECT CAST(NULL AS integer) WHERE 1 != 1)"),
        (MySql, "SELECT a FROM t WHERE (1 = 1) AND (b = 5)"),
        (MySql, "SELECT a FROM t WHERE TRUE AND b = 5"),
        (Postgres, "SELECT a FROM t WHERE b BETWEEN 1 AND 2 AND c IS NULL"),
        (Postgres, "SELECT a FROM t WHERE b BETWEEN 'a' AND 'f'"),
        (Postgres, "SELECT a FROM t WHERE active AND NOT deleted"),
    ]);
}

#[test]
fn unions() {
    fires(
        "sqli.union_probe",
        &[
            (Postgres, "SELECT a, b FROM t WHERE c = -1 UNION SELECT 1, 2"),
            (Postgres, "SELECT a, b FROM t WHERE c = 'x' UNION ALL SELECT NULL, NULL"),
            (MySql, "SELECT a, b FROM t WHERE c = 1 UNION SELECT 1, version()"),
            (MySql, "SELECT a, b FROM t WHERE c = 1 UNION SELECT user, 2, 3 FROM u"),
            (MySql, "SELECT a, b FROM t WHERE c = 1 UNION (SELECT d FROM u)"),
            (MySql, "SELECT a, b FROM t ORDER BY a UNION SELECT c, d FROM u"),
            (Sqlite, "SELECT a, b FROM t WHERE c = 1 UNION SELECT x || char(58, 58) || y, 2 FROM u"),
        ],
    );
    fires(
        "sqli.union_system",
        &[
            (Postgres, "SELECT a FROM t WHERE c = 1 UNION SELECT table_name FROM information_schema.tables"),
            (MySql, "SELECT a FROM t WHERE c = (SELECT password FROM mysql.user)"),
            (MySql, "SELECT a FROM t WHERE c = 1 UNION SELECT x FROM `information_schema`.`tables`"),
            (Sqlite, "SELECT a FROM t WHERE c = 1 UNION SELECT sql FROM sqlite_master"),
        ],
    );
    clean(&[
        (Postgres, "SELECT a, b FROM t WHERE c = 1 UNION ALL SELECT a, b FROM old_t WHERE c = 2"),
        (
            Postgres,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) SELECT i FROM n",
        ),
        (Postgres, "SELECT 1 UNION SELECT 2"),
        (Sqlite, "SELECT (SELECT 5, 6 UNION SELECT 3, 4 ORDER BY 1) IN (SELECT a, b FROM t)"),
        (Postgres, "SELECT a, 'store' AS src FROM t UNION ALL SELECT a, 'web' AS src FROM u"),
        (Postgres, "(SELECT a FROM t ORDER BY a LIMIT 1) UNION (SELECT a FROM u ORDER BY a LIMIT 1)"),
        (Postgres, "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"),
        (MySql, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"),
    ]);
}

#[test]
fn stacked_statements() {
    fires(
        "sqli.stacked",
        &[
            (Postgres, "SELECT a FROM t WHERE b = 1; SELECT 2"),
            (MySql, "SELECT a FROM t WHERE b = 'x';DROP TABLE t"),
        ],
    );
    assert!(signals("SELECT 1;DROP TABLE t", MySql) & Signal::StackedDrop.bit() != 0);
    clean(&[
        (Postgres, "SELECT a FROM t WHERE b = 1;"),
        (MySql, "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"),
        (Sqlite, "CREATE TRIGGER x AFTER INSERT ON t BEGIN UPDATE u SET a = 1; DELETE FROM v; END"),
        (Postgres, "CREATE FUNCTION f() RETURNS int AS $$ BEGIN RETURN 1; END; $$ LANGUAGE plpgsql"),
    ]);
}

#[test]
fn delays_files_and_errors() {
    fires(
        "sqli.time_delay",
        &[
            (MySql, "SELECT a FROM t WHERE b = 1 AND SLEEP(5)"),
            (MySql, "SELECT a FROM t WHERE b = 1 AND BENCHMARK(1000000, MD5('x'))"),
            (Postgres, "SELECT a FROM t WHERE b = (SELECT 1 FROM pg_sleep(5))"),
            (
                Postgres,
                "SELECT a FROM t WHERE b = 1 AND 0 < (SELECT count(*) FROM generate_series(1, 5000000))",
            ),
            (Sqlite, "SELECT a FROM t WHERE b = LIKE('ABC', UPPER(HEX(RANDOMBLOB(200000000/2))))"),
            (MySql, "SELECT SLEEP(5)"),
        ],
    );
    assert_eq!(signals("SELECT SLEEP(5)", MySql), Signal::TimeSelect.bit());
    fires(
        "sqli.file_access",
        &[
            (MySql, "SELECT a FROM t WHERE b = 1 INTO OUTFILE '/tmp/x'"),
            (MySql, "SELECT a FROM t WHERE b = LOAD_FILE('/etc/passwd')"),
            (Postgres, "COPY t TO PROGRAM 'sh'"),
            (Postgres, "SELECT pg_read_file('/etc/passwd')"),
        ],
    );
    fires(
        "sqli.error_based",
        &[
            (
                MySql,
                "SELECT a FROM t WHERE b = 1 AND EXTRACTVALUE(1, CONCAT(0x5c, (SELECT pw FROM u LIMIT 1)))",
            ),
            (
                MySql,
                "SELECT a FROM t WHERE b = 1 AND (SELECT 1 FROM (SELECT COUNT(*), CONCAT(version(), FLOOR(RAND(0)*2)) x FROM u GROUP BY x) y)",
            ),
            (Postgres, "SELECT a FROM t WHERE b = 1 AND 1 = CAST((SELECT 'x'||pw||chr(58) FROM u) AS int)"),
            (Postgres, "SELECT a FROM t WHERE b = version()::int"),
        ],
    );
    clean(&[
        (Postgres, "SELECT sleep, benchmark FROM naps"),
        (MySql, "SELECT extractvalue(doc, '/a/b') FROM t WHERE id = 4"),
        (Postgres, "SELECT CAST(a AS int) FROM t WHERE CAST(b AS date) > '2020-01-01'"),
        (Postgres, "SELECT day FROM generate_series('2020-01-01'::date, '2020-02-01', '1 day') AS g(day)"),
    ]);
}

#[test]
fn blind_probes() {
    fires(
        "sqli.blind",
        &[
            (MySql, "SELECT a FROM t WHERE b = 1 AND ASCII(SUBSTRING((SELECT pw FROM u), 1, 1)) > 64"),
            (MySql, "SELECT a FROM t WHERE b = 1 AND IF(1=1, 1, 2) = 1"),
            (Postgres, "SELECT a FROM t WHERE b = (CASE WHEN (5=5) THEN 1 ELSE 0 END)"),
            (Postgres, "SELECT a FROM t WHERE b = 1 AND LENGTH((SELECT pw FROM u)) = 8"),
            (Postgres, "SELECT a FROM t WHERE b = 1 AND 5 = (SELECT count(*) FROM u)"),
            (Postgres, "SELECT a FROM t WHERE b = (SELECT 1)"),
        ],
    );
    fires(
        "sqli.system_probe",
        &[
            (MySql, "SELECT a FROM t WHERE b = 1 AND @@version LIKE '8%'"),
            (MySql, "SELECT a FROM t WHERE b = 1 AND substring(version(), 1, 1) = 5"),
            (Postgres, "SELECT a FROM t WHERE b = 1 AND current_user = 'admin'"),
        ],
    );
    clean(&[
        (Postgres, "SELECT a FROM t WHERE substr(code, 1, 2) = 'AB' AND length(name) > 3"),
        (Postgres, "SELECT CASE WHEN a > 5 THEN 'x' ELSE 'y' END FROM t WHERE b = (SELECT max(b) FROM t)"),
        (Postgres, "SELECT a FROM t WHERE owner = current_user"),
        (MySql, "SELECT IF(a > 1, 'many', 'one') FROM t"),
        (Postgres, "SELECT a FROM t WHERE (SELECT count(*) FROM u WHERE u.t = t.id) > 3"),
        (
            Postgres,
            "SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.id = t.id) AND b IN (SELECT b FROM v)",
        ),
    ]);
}

#[test]
fn cuts_codes_and_places() {
    fires(
        "sqli.comment_cut",
        &[
            (Postgres, "SELECT a FROM t WHERE b = 'admin'-- ' AND c = 'x'"),
            (MySql, "SELECT a FROM t WHERE b = 'admin'#' AND c = 'x'"),
            (Postgres, "SELECT a FROM t WHERE b = 1 --"),
            (Sqlite, "SELECT a FROM t WHERE (b = 'x') ORDER BY 1-- ') AND c = 2"),
        ],
    );
    fires(
        "sqli.unbalanced",
        &[
            (Postgres, "SELECT a FROM t WHERE b = 'x"),
            (Postgres, "SELECT a FROM t WHERE b = 1) OR (c = 2"),
            (MySql, "SELECT a FROM t WHERE b = 1' AND c = '2"),
            (MySql, "SELECT a FROM t WHERE b = 1 /* x"),
        ],
    );
    fires(
        "sqli.encoded",
        &[
            (MySql, "SELECT a FROM t WHERE b = CHAR(97, 100, 109)"),
            (Postgres, "SELECT a FROM t WHERE b = CHR(97)||CHR(98)||CHR(99)"),
            (MySql, "SELECT a FROM t WHERE b = CONCAT(0x61, 0x62)"),
        ],
    );
    fires("sqli.exec_comment", &[(MySql, "SELECT a FROM t WHERE b = 1 /*!50000 AND c = 2 */")]);
    fires(
        "sqli.obfuscated",
        &[
            (MySql, "SELECT a FROM t WHERE b = 1/**/AND/**/c = 2"),
            (MySql, "SELECT a FROM t WHERE b = 1 aNd c = 2 oRdEr bY 1"),
            (MySql, "SELECT a FROM t WHERE b = 1\x0BAND c = 2"),
        ],
    );
    fires(
        "sqli.misplaced",
        &[
            (Sqlite, "INSERT INTO t VALUES (1, 'x' AND (SELECT 1 FROM u))"),
            (Sqlite, "SELECT a FROM t LIMIT 5 OR b = 3"),
            (Sqlite, "SELECT a FROM t WHERE b IN ('x' OR c = 2)"),
        ],
    );
    fires(
        "sqli.literal_operator",
        &[
            (MySql, "SELECT a FROM t WHERE b = 'x'*'y'"),
            (MySql, "SELECT a FROM t WHERE b = '' ''"),
            (Sqlite, "SELECT a FROM t WHERE b = 'x' >= 'y'"),
            (Postgres, "INSERT INTO t VALUES (1, ''||'6')"),
        ],
    );
    fires(
        "sqli.order_probe",
        &[
            (Postgres, "SELECT a, b FROM t ORDER BY 3"),
            (MySql, "SELECT a, b FROM t ORDER BY (SELECT c FROM u)"),
            (MySql, "SELECT a, b FROM t ORDER BY 'x'"),
        ],
    );
    fires("sqli.script", &[(Postgres, "INSERT INTO t VALUES ('<script>alert(1)</script>')")]);
    fires("sqli.dynamic", &[(MySql, "PREPARE s FROM @q")]);
    fires("sqli.time_delay", &[(MySql, "PREPARE s FROM 'SELECT 1 FROM t WHERE a = 1 AND SLEEP(9)'")]);
}

#[test]
fn ordinary_statements_are_clean() {
    clean(&[
        (Postgres, "SELECT a FROM t WHERE b = 'it''s OR 1=1 -- UNION SELECT 1'"),
        (Postgres, "SELECT \"or 1=1\" FROM \"union select\" WHERE \"--\" = $1"),
        (MySql, "SELECT a FROM t WHERE b = 'x\\' OR 1=1 -- '"),
        (Postgres, "SELECT a FROM t /* who's there? OR 1=1 */ WHERE b = 5"),
        (Postgres, "SELECT a, b FROM t ORDER BY 2, 1 DESC LIMIT 10 OFFSET 20"),
        (MySql, "SELECT a FROM t WHERE id = 5 LOCK IN SHARE MODE"),
        (
            Sqlite,
            "SELECT a FROM t WHERE b = ?1 AND (lower(c) = lower(?2) OR lower(c) = lower(d) OR instr(c, ?3) > 0)",
        ),
        (Sqlite, "SELECT a FROM t WHERE b = 1 OR t.c = u.c OR abs(c) = abs(d) OR ? = ? OR -c = c"),
        (Sqlite, "SELECT a FROM t WHERE b = 1 ORDER BY c = 'x' AND d = 5 DESC, lower(c) = lower('y') DESC"),
        (MySql, "SELECT /*!40001 SQL_NO_CACHE */ * FROM t"),
        (MySql, "SELECT 1 # trailing"),
        (
            Postgres,
            "SELECT a FROM t WHERE e <=> '[1,2]' < 0.5 AND d #>> '{a,b}' = 'x' ORDER BY e <-> '[1,2]' LIMIT 5",
        ),
        (Postgres, "SELECT a FROM t WHERE n !~* '^pg_' AND m ~~ 'a%' AND k =-1"),
        (
            Postgres,
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), 2 FROM t UNION ALL SELECT y, z FROM u",
        ),
        (Postgres, "SELECT a FROM t WHERE tags && ARRAY['a', 'b'] AND b[1] = 5"),
        (Postgres, "SELECT a FROM t WHERE position('x' IN b) > 0 AND extract(year FROM d) = 2020"),
        (Postgres, "SELECT a FROM t WHERE d >= date '2020-01-01' - interval '1 day'"),
        (MySql, "SELECT a FROM t WHERE d > NOW() - INTERVAL 7 DAY"),
        (Postgres, "SELECT a FROM t WHERE name LIKE '%' || $1 || '%'"),
        (MySql, "INSERT INTO t (a, b) VALUES (?, ?) ON DUPLICATE KEY UPDATE b = VALUES(b), c = c + 1"),
        (Postgres, "INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b"),
        (MySql, "UPDATE t SET n = n + 1, s = CONCAT(s, 'x') WHERE id IN (1, 2, 3)"),
        (Postgres, "SELECT row_number() OVER (PARTITION BY a ORDER BY b DESC) FROM t"),
        (Postgres, "SELECT data->>'name' FROM t WHERE data @> '{\"a\": 1}'"),
        (Sqlite, "SELECT strftime('%Y', d) FROM t WHERE strftime('%Y', d) = '2020' AND x <> ''"),
        (Postgres, "UPDATE users SET updated_at = now(), deleted = false WHERE id = 5 AND version = 7"),
        (MySql, "SELECT 1"),
        (MySql, "SELECT @@version, DATABASE(), USER()"),
        (MySql, "SHOW CREATE TABLE t"),
        (Postgres, "BEGIN"),
        (Sqlite, "PRAGMA table_info(t)"),
        (MySql, "CREATE TABLE t (a varchar(50) DEFAULT '', KEY k (a)) ENGINE=InnoDB"),
        (Postgres, "DELETE FROM sessions WHERE expires_at < $1 AND (user_id = $2 OR user_id IS NULL)"),
    ]);
    assert_eq!(signals("/*!40101 SET NAMES utf8 */", MySql) & !Signal::ExecWhole.bit(), 0);
}

#[test]
fn long_and_deep_texts_are_judged_to_their_end() {
    let filler = "c = 1 AND ".repeat(20_000);
    let sql = format!("SELECT a FROM t WHERE {filler} b = 'x' OR 1=1");
    assert!(signals(&sql, Postgres) & (Signal::Tautology.bit() | Signal::Contradiction.bit()) != 0);
    let rows = "(1, 'x', NULL), ".repeat(50_000);
    let sql = format!("INSERT INTO t VALUES {rows} (1, 'x' AND SLEEP(5), 2)");
    assert!(signals(&sql, MySql) & Signal::TimeDelay.bit() != 0);
    for text in [
        "(".repeat(1_000_000),
        "CASE ".repeat(300_000),
        "SELECT(".repeat(200_000),
        "'".repeat(999_999),
        "@".repeat(1_000_000),
        "$a".repeat(500_000),
        "+-".repeat(500_000),
        "/*!".repeat(300_000),
        "$".repeat(1_000_000),
    ] {
        _ = signals(&text, Postgres);
        _ = signals(&text, MySql);
    }
}

#[test]
fn a_small_stack_suffices() {
    let sql = "SELECT (CASE WHEN (".repeat(30_000);
    let thread = std::thread::Builder::new().stack_size(256 * 1024);
    thread.spawn(move || signals(&sql, Sqlite)).unwrap().join().unwrap();
}
