//! The driver against a real MariaDB or MySQL server, named by `PENSTOCK_TEST_MARIADB_URL` (or `PENSTOCK_TEST_MYSQL_URL`).

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::time::{Duration, Instant};

use harvest::{
    CheckedStatement, Column, ConnectParams, Connection, Driver, Flow, HarvestCode, HarvestError,
    HarvestResult, Limits, MetadataRequest, ObjectMeta, ObjectType, RowSink, StatementKind, TlsMode, Value,
};
use harvest_mysql::MysqlDriver;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

const LIMITS: Limits = Limits { timeout_ms: 10_000, cell_bytes_max: 1_000_000 };

/// The server's parameters, or `None` with a loud line.
fn server() -> Option<ConnectParams> {
    let url =
        std::env::var("PENSTOCK_TEST_MYSQL_URL").or_else(|_| std::env::var("PENSTOCK_TEST_MARIADB_URL"));
    let Ok(url) = url else {
        eprintln!("SKIPPED: neither PENSTOCK_TEST_MYSQL_URL nor PENSTOCK_TEST_MARIADB_URL names a server");
        return None;
    };
    Some(ConnectParams::from_url(&url).expect("a URL").1)
}

fn connect(params: &ConnectParams) -> Box<dyn Connection> {
    MysqlDriver.connect(params).expect("connects")
}

/// A session that may write, to prepare what the driver then reads.
fn writer(params: &ConnectParams) -> Conn {
    let opts = OptsBuilder::new()
        .ip_or_hostname(Some(params.host.clone()))
        .tcp_port(params.port)
        .user(Some(params.user.clone()))
        .pass(Some(params.password.expose()))
        .prefer_socket(false);
    Conn::new(opts).expect("connects")
}

fn prepare(params: &ConnectParams, statements: &str) -> Conn {
    let mut writer = writer(params);
    for statement in statements.split(";\n").map(str::trim).filter(|s| !s.is_empty()) {
        writer.query_drop(statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    writer
}

#[derive(Default)]
struct Rows {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
    stop_after: Option<usize>,
}

impl RowSink for Rows {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        self.rows.push(row);
        Ok(if self.stop_after == Some(self.rows.len()) { Flow::Stop } else { Flow::Continue })
    }
}

/// Runs text that no gate has seen: the layers below must hold alone.
fn ungated(connection: &mut dyn Connection, sql: &str, limits: Limits) -> HarvestResult<Rows> {
    let mut rows = Rows::default();
    connection.query(
        &CheckedStatement::vouched(sql, StatementKind::Select),
        &[],
        None,
        &limits,
        &mut rows,
    )?;
    Ok(rows)
}

fn fails(connection: &mut dyn Connection, sql: &str) -> HarvestError {
    ungated(connection, sql, LIMITS).err().unwrap_or_else(|| panic!("{sql} went through"))
}

fn one(connection: &mut dyn Connection, expression: &str) -> Value {
    ungated(connection, &format!("SELECT {expression}"), LIMITS).expect(expression).rows.remove(0).remove(0)
}

#[test]
fn every_column_type_has_its_documented_form() {
    let Some(params) = server() else { return };
    prepare(
        &params,
        "CREATE DATABASE IF NOT EXISTS live_types;
         DROP TABLE IF EXISTS live_types.t;
         CREATE TABLE live_types.t (a tinyint, b smallint unsigned, c mediumint, d int unsigned, e bigint unsigned, f float, g double,
           h decimal(20, 4), i bit(10), j date, k time(3), l datetime(6), m timestamp NULL, n year, o char(3), p varchar(20), q text,
           r binary(3), s varbinary(5), t blob, u enum('x', 'y'), v set('p', 'q'), w json, x point, y bigint);
         INSERT INTO live_types.t VALUES (-128, 65535, -8388608, 4294967295, 18446744073709551615, 0.1, 1e300, 12.5, b'1000000001',
           '2024-02-29', '-10:00:00.5', '2024-02-29 23:59:59.000001', NULL, 2024, 'ä', 'été', 'long', 'ab', x'00ff', x'00', 'y', 'p,q',
           '{\"a\": 1}', ST_GeomFromText('POINT(1 2)'), 9223372036854775807)",
    );
    let mut connection = connect(&params);
    let row = ungated(&mut *connection, "SELECT * FROM live_types.t", LIMITS).expect("reads").rows.remove(0);
    let text = |s: &str| Value::Text(s.into());
    let point = [&[1, 1, 0, 0, 0][..], &1f64.to_le_bytes(), &2f64.to_le_bytes()].concat();
    let json = match &row[22] {
        // MariaDB keeps JSON as text.
        Value::Json(json) => Value::Json(json.clone()),
        other => other.clone(),
    };
    let expected = vec![
        Value::Int(-128),
        Value::Int(65_535),
        Value::Int(-8_388_608),
        Value::Int(4_294_967_295),
        Value::UInt(u64::MAX),
        Value::Float(0.1),
        Value::Float(1e300),
        Value::Decimal("12.5000".into()),
        Value::Bytes(vec![2, 1]),
        Value::Date("2024-02-29".into()),
        Value::Time("-10:00:00.5".into()),
        Value::DateTime("2024-02-29T23:59:59.000001".into()),
        Value::Null,
        Value::Int(2024),
        text("ä"),
        text("été"),
        text("long"),
        Value::Bytes(b"ab\0".to_vec()),
        Value::Bytes(vec![0, 255]),
        Value::Bytes(vec![0]),
        text("y"),
        text("p,q"),
        json,
        Value::Bytes(point),
        Value::Int(i64::MAX),
    ];
    assert_eq!(row, expected);
}

/// A cell of 40 MB, which comes in several packets, passes through a bounded buffer.
#[test]
fn a_huge_cell_is_cut_while_it_is_read() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    let was: Option<u64> = writer.query_first("SELECT @@GLOBAL.max_allowed_packet").expect("asks");
    let mut connection = connect(&params);
    let limits = Limits { cell_bytes_max: 1_000, timeout_ms: 60_000 };
    let bytes = was.unwrap_or_default().min(40_000_000) / 2 - 10;
    let sql = format!("SELECT REPEAT('ä', {bytes}), 1 UNION ALL SELECT 'b', 2");
    for _ in 0..2 {
        let rows = ungated(&mut *connection, &sql, limits).expect("reads").rows;
        let Value::Text(text) = &rows[0][0] else { panic!("no text") };
        assert_eq!((text.len(), rows[0][1].clone()), (1_000, Value::Int(1)));
        assert_eq!(rows[1], [Value::Text("b".into()), Value::Int(2)]);
    }
}

/// Several statements in one text are refused by the protocol itself, in the text form too.
#[test]
fn several_statements_are_never_one_text() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let error = fails(&mut *connection, "SELECT 1; SELECT 2");
    assert_eq!(error.code, HarvestCode::InvalidArgument);
    let loaded = fails(&mut *connection, "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE mysql.user");
    assert_ne!(loaded.code, HarvestCode::Internal, "{loaded}");
}

#[test]
fn writes_do_not_get_through_without_the_gate() {
    let Some(params) = server() else { return };
    prepare(
        &params,
        "CREATE DATABASE IF NOT EXISTS live_canary;
         DROP TABLE IF EXISTS live_canary.c;
         CREATE TABLE live_canary.c (id int) ENGINE = InnoDB;
         DROP USER IF EXISTS canary_reader;
         CREATE USER canary_reader IDENTIFIED BY 'reader-pass-1';
         GRANT SELECT ON live_canary.* TO canary_reader",
    );
    let mut reader = params.clone();
    reader.user = "canary_reader".into();
    reader.password = harvest::Secret::new("reader-pass-1");
    for (who, params) in [("root", &params), ("reader", &reader)] {
        let mut connection = connect(params);
        for sql in [
            "INSERT INTO live_canary.c VALUES (1)",
            "UPDATE live_canary.c SET id = 2",
            "DELETE FROM live_canary.c",
            "SELECT 1; INSERT INTO live_canary.c VALUES (3)",
            // A read-only transaction does not stop this one; the driver executes nothing that cannot give rows.
            "CREATE TABLE live_canary.two (id int)",
        ] {
            let error = fails(&mut *connection, sql);
            assert_ne!(error.code, HarvestCode::Internal, "{who}: {sql}: {error}");
        }
    }
    // An ordinary reader gets no DDL through either; for a privileged account only the gate and the account check stand here.
    let mut connection = connect(&reader);
    for sql in [
        "SET PASSWORD = PASSWORD('reader-pass-2')",
        "DROP TABLE live_canary.c",
        "GRANT ALL ON *.* TO canary_reader",
    ] {
        assert_eq!(fails(&mut *connection, sql).code, HarvestCode::PermissionDenied, "{sql}");
    }
    assert_eq!(one(&mut *connection, "count(*) FROM live_canary.c"), Value::Int(0));
}

#[test]
fn a_session_is_as_new_after_a_reset() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let state = "@@SESSION.sql_mode, @@SESSION.time_zone, @mine, IS_USED_LOCK('live_lock'), @@SESSION.max_sort_length";
    let state = format!("CONCAT_WS('|', {}, 'end')", state.replace(", ", ", '/', "));
    let before = one(&mut *connection, &state);
    // Each statement tells by its own result that it has dirtied the session for the time that it ran.
    for (sql, done) in [
        ("SELECT @mine := 7", Value::Int(7)),
        ("SELECT GET_LOCK('live_lock', 0)", Value::Int(1)),
        ("SELECT @mine IS NULL", Value::Int(1)),
    ] {
        assert_eq!(ungated(&mut *connection, sql, LIMITS).expect(sql).rows[0][0], done, "{sql}");
    }
    for sql in [
        "SET SESSION sql_mode = 'ANSI_QUOTES'",
        "SET SESSION time_zone = '+05:00'",
        "SET SESSION max_sort_length = 100",
    ] {
        let _ = ungated(&mut *connection, sql, LIMITS);
    }
    connection.reset().expect("resets");
    assert_eq!(one(&mut *connection, &state), before);
}

#[test]
fn a_runaway_statement_ends_at_its_deadline_in_the_server_too() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let started = Instant::now();
    let short = Limits { timeout_ms: 300, ..LIMITS };
    let runaway = "SELECT count(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c";
    let error = ungated(&mut *connection, runaway, short).err().expect("stops");
    assert_eq!(error.code, HarvestCode::DeadlineExceeded, "{error}");
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(
        one(
            &mut *connection,
            "count(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%COLUMNS a,%' AND INFO NOT LIKE '%PROCESSLIST%'"
        ),
        Value::Int(0)
    );
}

#[test]
fn an_interrupt_stops_the_statement_from_another_thread() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let interrupt = connection.interrupt();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        interrupt.interrupt();
    });
    let started = Instant::now();
    let result = ungated(&mut *connection, "SELECT SLEEP(30) FROM information_schema.SCHEMATA", LIMITS);
    stopper.join().expect("joins");
    assert!(started.elapsed() < Duration::from_secs(5));
    // SLEEP alone answers 1 when it is interrupted; over several rows the statement itself is.
    if let Err(error) = result {
        assert_eq!(error.code, HarvestCode::Cancelled);
        assert!(error.connection_broken, "a late kill must not hit the next statement");
    }
}

#[test]
fn enough_rows_end_a_large_result_early() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let mut sink = Rows { stop_after: Some(10), ..Rows::default() };
    let sql = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 900), t(n) AS (SELECT a.n FROM s a, s b) \
               SELECT t.n, REPEAT('x', 1000) FROM t, s";
    let started = Instant::now();
    connection
        .query(&CheckedStatement::vouched(sql, StatementKind::Select), &[], None, &LIMITS, &mut sink)
        .expect("stops quietly");
    assert_eq!(sink.rows.len(), 10);
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[test]
fn parameters_and_schemas_belong_to_one_call() {
    let Some(params) = server() else { return };
    prepare(&params, "CREATE DATABASE IF NOT EXISTS live_one;\nCREATE DATABASE IF NOT EXISTS live_two");
    let mut connection = connect(&params);
    let statement =
        CheckedStatement::vouched("SELECT DATABASE(), ? + 1, UPPER(?), ? IS NULL", StatementKind::Select);
    let values = [Value::Int(41), Value::Text("a'b\\".into()), Value::Null];
    for schema in ["live_one", "live_two", "live_one"] {
        let mut sink = Rows::default();
        connection.query(&statement, &values, Some(schema), &LIMITS, &mut sink).expect("runs");
        assert_eq!(sink.rows[0][0], Value::Text(schema.into()));
        assert_eq!(sink.rows[0][2..], [Value::Text("A'B\\".into()), Value::Int(1)]);
    }
    let error =
        connection.query(&statement, &values[..1], None, &LIMITS, &mut Rows::default()).expect_err("too few");
    assert_eq!(error.code, HarvestCode::InvalidArgument);
    let error = connection
        .query(&statement, &values, Some("no_such_schema"), &LIMITS, &mut Rows::default())
        .expect_err("none");
    assert_eq!(error.code, HarvestCode::NotFound);
}

#[test]
fn errors_have_codes_and_name_no_account() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    for (sql, code) in [
        ("SELEC 1", HarvestCode::InvalidArgument),
        ("SELECT * FROM mysql.no_such_table", HarvestCode::NotFound),
        ("SELECT no_such_column FROM information_schema.SCHEMATA", HarvestCode::InvalidArgument),
    ] {
        assert_eq!(fails(&mut *connection, sql).code, code, "{sql}");
    }
    let mut wrong = params.clone();
    wrong.user = "no_such_user".into();
    wrong.password = harvest::Secret::new("wrong-pass-1");
    let error = MysqlDriver.connect(&wrong).err().expect("refused");
    assert_eq!(error.code, HarvestCode::PermissionDenied);
    assert!(
        !error.to_string().contains("no_such_user") && !format!("{error:?}").contains("wrong-pass-1"),
        "{error:?}"
    );
    wrong.port = 1;
    assert_eq!(MysqlDriver.connect(&wrong).err().expect("nobody there").code, HarvestCode::Unavailable);
}

fn find<'a>(objects: &'a [ObjectMeta], kind: ObjectType, name: &str) -> &'a ObjectMeta {
    objects
        .iter()
        .find(|o| o.object_type == kind && o.name == name)
        .unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn metadata_tells_every_feature() {
    let Some(params) = server() else { return };
    prepare(
        &params,
        "DROP DATABASE IF EXISTS live_feat;
         CREATE DATABASE live_feat CHARACTER SET utf8mb4;
         CREATE TABLE live_feat.parent (a int, b int, name varchar(40) NOT NULL UNIQUE, PRIMARY KEY (a, b)) COMMENT 'a parent';
         CREATE TABLE live_feat.child (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, pa int, pb int, m enum('sad', 'it''s ok') DEFAULT 'sad',
           amount decimal(10, 2) NOT NULL DEFAULT 0 COMMENT 'how much', twice decimal(12, 2) AS (amount * 2) STORED, body text,
           made timestamp DEFAULT CURRENT_TIMESTAMP, CONSTRAINT positive CHECK (amount >= 0), KEY by_body (body(10), made DESC),
           CONSTRAINT to_parent FOREIGN KEY (pa, pb) REFERENCES parent (a, b) ON DELETE CASCADE);
         CREATE TABLE live_feat.parted (id int, v int) PARTITION BY HASH (id) PARTITIONS 4;
         CREATE VIEW live_feat.busy AS SELECT c.id, p.name FROM live_feat.child c JOIN live_feat.parent p ON p.a = c.pa;
         CREATE FUNCTION live_feat.plus(a int, b int) RETURNS int DETERMINISTIC RETURN a + b;
         CREATE PROCEDURE live_feat.nothing(IN a int, OUT b int) SET b = a;
         CREATE TRIGGER live_feat.stamped BEFORE INSERT ON live_feat.child FOR EACH ROW SET NEW.body = UPPER(NEW.body);
         CREATE EVENT live_feat.nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM live_feat.parted;
         CREATE TABLE live_feat.`na.me 'x\"` (`Col ``q``` int PRIMARY KEY, `select` int)",
    );
    let mut connection = connect(&params);
    let mut request = MetadataRequest::all(100_000);
    request.schemas = Some(vec!["live_feat".into()]);
    let snapshot = connection.metadata(&request, &mut ()).expect("reads");
    assert_eq!(snapshot.schemas.len(), 1);
    let objects = &snapshot.objects;
    let child = find(objects, ObjectType::Table, "child");
    let column = |name: &str| child.columns.iter().find(|c| c.name == name).expect("column");
    assert_eq!(column("id").extra, "auto_increment");
    assert_eq!(column("m").enum_values.as_deref(), Some(&["sad".to_owned(), "it's ok".into()][..]));
    assert_eq!(
        (column("amount").column_type.as_str(), column("amount").comment.as_str()),
        ("decimal(10,2)", "how much")
    );
    assert!(column("twice").generation_expr.is_some());
    let key = &child.foreign_keys[0];
    assert_eq!(
        (key.name.as_str(), key.parent_table.as_str(), key.on_delete.as_deref()),
        ("to_parent", "parent", Some("CASCADE"))
    );
    assert_eq!(key.columns, [("pa".to_owned(), "a".to_owned()), ("pb".into(), "b".into())]);
    let index = child.indexes.iter().find(|i| i.name == "by_body").expect("index");
    assert_eq!((index.columns[0].sub_part, index.columns[1].descending), (Some(10), true));
    assert!(child.indexes.iter().any(|i| i.primary && i.unique));
    assert!(child.constraints.iter().any(|c| c.name == "positive" && c.expression.is_some()));
    let parent = find(objects, ObjectType::Table, "parent");
    assert_eq!(
        (parent.comment.as_str(), parent.constraints[0].columns.as_slice()),
        ("a parent", &["name".to_owned()][..])
    );
    assert!(
        find(objects, ObjectType::Table, "parted")
            .partitioning
            .as_ref()
            .is_some_and(|p| p.contains("4 partitions"))
    );
    assert!(find(objects, ObjectType::View, "busy").definition.is_some());
    assert_eq!(find(objects, ObjectType::Routine, "plus").columns.len(), 2);
    assert_eq!(find(objects, ObjectType::Routine, "nothing").columns[1].extra, "OUT");
    assert_eq!(find(objects, ObjectType::Trigger, "stamped").parent.as_deref(), Some("child"));
    let _ = find(objects, ObjectType::Event, "nightly");
    assert_eq!(find(objects, ObjectType::Table, "na.me 'x\"").columns[0].name, "Col `q`");
}

#[test]
fn tls_modes_keep_their_promises() {
    let (Some(params), Ok(ca)) = (server(), std::env::var("PENSTOCK_TEST_TLS_CA")) else {
        eprintln!("SKIPPED: PENSTOCK_TEST_TLS_CA names no certificate authority");
        return;
    };
    let with = |tls, ca: Option<&str>| {
        let mut params = params.clone();
        params.tls = tls;
        params.tls_ca_file = ca.map(str::to_owned);
        MysqlDriver.connect(&params)
    };
    let cipher = "(SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'Ssl_cipher') <> ''";
    for (tls, ca) in [
        (TlsMode::Preferred, None),
        (TlsMode::Required, None),
        (TlsMode::VerifyCa, Some(ca.as_str())),
        (TlsMode::VerifyIdentity, Some(ca.as_str())),
    ] {
        let mut connection = with(tls, ca).unwrap_or_else(|e| panic!("{tls:?}: {e}"));
        assert_eq!(one(&mut *connection, cipher), Value::Int(1), "{tls:?}");
    }
    for tls in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        assert!(with(tls, None).is_err(), "{tls:?} took a certificate that no public authority signed");
    }
}

#[test]
fn the_account_is_examined() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let findings = connection.examine_account().expect("examines");
    assert!(findings.iter().any(|f| f.code == "all_privileges" && f.dangerous), "{findings:?}");
}
