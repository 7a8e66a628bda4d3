//! The driver against a real PostgreSQL server, named by `PENSTOCK_TEST_POSTGRES_URL`.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::time::{Duration, Instant};

use harvest::{
    CheckedStatement, Column, ConnectParams, Connection, Driver, Flow, GatePolicy, HarvestCode, HarvestError,
    HarvestResult, Limits, MetadataRequest, ObjectMeta, ObjectType, RowSink, StatementKind, TlsMode,
    TypeFamily, Value,
};
use harvest_postgres::{PostgresDialect, PostgresDriver};
use postgres::{Client, NoTls};

const LIMITS: Limits = Limits { timeout_ms: 10_000, cell_bytes_max: 1_000_000 };

/// The server's parameters, or `None` with a loud line.
fn server() -> Option<ConnectParams> {
    let Ok(url) = std::env::var("PENSTOCK_TEST_POSTGRES_URL") else {
        eprintln!("SKIPPED: PENSTOCK_TEST_POSTGRES_URL names no server");
        return None;
    };
    Some(ConnectParams::from_url(&url).expect("a URL").1)
}

fn connect(params: &ConnectParams) -> Box<dyn Connection> {
    PostgresDriver.connect(params).expect("connects")
}

/// A session that may write, to prepare what the driver then reads.
fn writer(params: &ConnectParams) -> Client {
    let mut config = postgres::Config::new();
    config.host(&params.host).port(params.port).user(&params.user).dbname(&params.database);
    config.password(params.password.expose());
    config.connect(NoTls).expect("connects")
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

fn one(connection: &mut dyn Connection, expression: &str) -> (Column, Value) {
    let mut rows = ungated(connection, &format!("SELECT {expression} AS v"), LIMITS).expect(expression);
    (rows.columns.remove(0), rows.rows.remove(0).remove(0))
}

#[test]
fn scalars_have_the_documented_forms() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let text = |s: &str| Value::Text(s.into());
    let cases: Vec<(&str, Value)> = vec![
        ("NULL::int", Value::Null),
        ("true", Value::Bool(true)),
        ("(-32768)::int2", Value::Int(-32768)),
        ("9223372036854775807::int8", Value::Int(i64::MAX)),
        ("0.1::float4", Value::Float(0.1)),
        ("'Infinity'::float8", Value::Float(f64::INFINITY)),
        (
            "123456789012345678901234567890.000100::numeric",
            Value::Decimal("123456789012345678901234567890.000100".into()),
        ),
        ("'NaN'::numeric", Value::Decimal("NaN".into())),
        ("(-12.30)::money::numeric", Value::Decimal("-12.30".into())),
        ("12.3::money", Value::Decimal("12.30".into())),
        ("'x'::\"char\"", text("x")),
        ("'ab '::char(4)", text("ab  ")),
        ("'\\x00ff'::bytea", Value::Bytes(vec![0, 255])),
        ("'0044-03-15 BC'::date", Value::Date("0044-03-15 BC".into())),
        ("'infinity'::timestamptz", Value::TimestampTz("infinity".into())),
        ("'2024-02-29 23:59:59.12'::timestamp", Value::DateTime("2024-02-29T23:59:59.12".into())),
        ("'2024-02-29 23:59:59+02'::timestamptz", Value::TimestampTz("2024-02-29T21:59:59+00:00".into())),
        ("'24:00:00'::time", Value::Time("24:00:00".into())),
        ("'04:05:06.7-08'::timetz", Value::Time("04:05:06.7-08:00".into())),
        (
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
            Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".into()),
        ),
        ("'{\"a\": [1, null]}'::jsonb", Value::Json(serde_json::json!({"a": [1, null]}))),
        ("'192.168.1.5/24'::inet", text("192.168.1.5/24")),
        ("'08:00:2b:01:02:03'::macaddr", text("08:00:2b:01:02:03")),
        ("int4range(1, 5)", text("[1,5)")),
        ("tsrange('2024-01-01', NULL)", text("[\"2024-01-01 00:00:00\",)")),
        ("point(1.5, -2)", text("(1.5,-2)")),
        ("to_tsvector('simple', 'b a')", text("'a':2 'b':1")),
        ("ROW(1, 'x, y')", text("(1,\"x, y\")")),
        ("pg_typeof(1)", text("integer")),
        ("ARRAY[1, NULL, 3]", Value::Array(vec![Value::Int(1), Value::Null, Value::Int(3)])),
        ("'{}'::text[]", Value::Array(vec![])),
        ("ARRAY['(1,2)'::point]::text[]", Value::Array(vec![text("(1,2)")])),
        ("ARRAY[int4range(1, 2)]", Value::Array(vec![text("[1,2)")])),
    ];
    for (expression, expected) in cases {
        assert_eq!(one(&mut *connection, expression).1, expected, "{expression}");
    }
    let nested = one(&mut *connection, "ARRAY[[1, 2], [3, 4]]").1;
    let row = |a, b| Value::Array(vec![Value::Int(a), Value::Int(b)]);
    assert_eq!(nested, Value::Array(vec![row(1, 2), row(3, 4)]));
}

/// Random values of many types: what we write must read back, in the server's own judgement, as the value it wrote.
#[test]
fn random_values_agree_with_the_servers_own_reading() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let checks = [
        ("(random() * 1e6 - 5e5)::numeric(20, 7)", "numeric"),
        ("timestamp '2000-01-01' + (random() * 1e9 - 5e8) * interval '1 second'", "timestamp"),
        ("timestamptz '2000-01-01' + (random() * 1e9 - 5e8) * interval '1 second'", "timestamptz"),
        ("date '2000-01-01' + (random() * 1e6 - 5e5)::int", "date"),
        ("time '00:00' + random() * interval '23 hours'", "time"),
        (
            "make_interval(months => (random() * 100 - 50)::int, days => (random() * 100 - 50)::int, secs => random() * 1e5 - 5e4)",
            "interval",
        ),
        ("gen_random_uuid()", "uuid"),
        ("(random() * 1e18)::int8", "int8"),
        ("random()::float4", "float4"),
        ("exp(random() * 400 - 200)", "float8"),
    ];
    for (expression, ty) in checks {
        let sql = format!("SELECT v, v::text FROM (SELECT {expression} AS v FROM generate_series(1, 200)) q");
        let rows = ungated(&mut *connection, &sql, LIMITS).expect(ty).rows;
        assert_eq!(rows.len(), 200);
        let mut same = String::from("SELECT count(*) FROM (VALUES ");
        for (index, row) in rows.iter().enumerate() {
            let ours = match &row[0] {
                Value::Int(v) => v.to_string(),
                Value::Float(v) => v.to_string(),
                Value::Decimal(s)
                | Value::Date(s)
                | Value::Time(s)
                | Value::DateTime(s)
                | Value::TimestampTz(s) => s.clone(),
                Value::Interval(s) | Value::Uuid(s) => s.clone(),
                other => panic!("{other:?}"),
            };
            let Value::Text(theirs) = &row[1] else { panic!("no text") };
            let comma = if index == 0 { "" } else { ", " };
            same.push_str(&format!("{comma}('{ours}'::{ty}, '{theirs}'::{ty})"));
        }
        same.push_str(") t(a, b) WHERE a = b");
        assert_eq!(ungated(&mut *connection, &same, LIMITS).expect(ty).rows[0][0], Value::Int(200), "{ty}");
    }
}

/// The first statement of a transaction cannot make it writable: the settings were read before it.
#[test]
fn a_transaction_cannot_be_made_writable() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let error = fails(&mut *connection, "SET TRANSACTION READ WRITE");
    assert!(error.message.contains("must be set before any query"), "{error}");
    let copied = fails(&mut *connection, "COPY (SELECT 1) TO STDOUT");
    assert!(copied.connection_broken, "{copied}");
}

#[test]
fn writes_do_not_get_through_without_the_gate() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    writer.batch_execute("DROP TABLE IF EXISTS canary; CREATE TABLE canary (id int); CREATE SEQUENCE IF NOT EXISTS canary_seq").expect("set up");
    let mut connection = connect(&params);
    for sql in [
        "INSERT INTO canary VALUES (1)",
        "WITH w AS (INSERT INTO canary VALUES (2) RETURNING id) SELECT * FROM w",
        "CREATE TABLE canary_two (id int)",
        "DROP TABLE canary",
        "SELECT nextval('canary_seq')",
        "SELECT * FROM canary FOR UPDATE",
        "SELECT 1; INSERT INTO canary VALUES (3)",
        "COMMIT; INSERT INTO canary VALUES (4)",
    ] {
        let error = fails(&mut *connection, sql);
        assert_ne!(error.code, HarvestCode::Internal, "{sql}: {error}");
    }
    // These may run, and leave nothing behind.
    for sql in ["SET TRANSACTION READ WRITE", "COMMIT", "SET search_path = nowhere"] {
        let _ = ungated(&mut *connection, sql, LIMITS);
        let _ = connection.reset();
    }
    let rows = ungated(&mut *connection, "SELECT count(*) FROM canary", LIMITS).expect("still there").rows;
    assert_eq!(rows[0][0], Value::Int(0));
}

#[test]
fn a_session_is_as_new_after_a_reset() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let state = "SELECT current_setting('work_mem'), current_setting('role'), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND pid = pg_backend_pid()), (SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%pg_prepared_statements%')";
    let before = ungated(&mut *connection, state, LIMITS).expect("state").rows;
    for sql in [
        "SELECT set_config('work_mem', '77MB', false)",
        "SELECT pg_advisory_lock(4711)",
        "PREPARE p AS SELECT 1",
    ] {
        let _ = ungated(&mut *connection, sql, LIMITS);
    }
    // The lock is gone for other sessions too, which could not see that of a session that only forgets.
    connection.reset().expect("resets");
    let mut other = connect(&params);
    let free = "SELECT pg_try_advisory_lock(4711)";
    assert_eq!(ungated(&mut *other, free, LIMITS).expect("asks").rows[0][0], Value::Bool(true));
    assert_eq!(ungated(&mut *connection, state, LIMITS).expect("state").rows, before);
}

#[test]
fn a_runaway_statement_ends_at_its_deadline_in_the_server_too() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let started = Instant::now();
    let short = Limits { timeout_ms: 300, ..LIMITS };
    let error =
        ungated(&mut *connection, "SELECT pg_sleep(60) /* runaway-mark */", short).err().expect("stops");
    assert_eq!(error.code, HarvestCode::DeadlineExceeded);
    assert!(started.elapsed() < Duration::from_secs(5));
    let running =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%runaway' || '-mark%'";
    assert_eq!(ungated(&mut *connection, running, LIMITS).expect("asks").rows[0][0], Value::Int(0));
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
    let error = fails(&mut *connection, "SELECT pg_sleep(60)");
    stopper.join().expect("joins");
    assert_eq!(error.code, HarvestCode::Cancelled);
    assert!(error.connection_broken, "a late cancel must not hit the next statement");
}

#[test]
fn enough_rows_end_a_large_result_early() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let mut sink = Rows { stop_after: Some(10), ..Rows::default() };
    let statement = CheckedStatement::vouched(
        "SELECT g, repeat('x', 1000) FROM generate_series(1, 3000000) g",
        StatementKind::Select,
    );
    let started = Instant::now();
    connection.query(&statement, &[], None, &LIMITS, &mut sink).expect("stops quietly");
    assert_eq!(sink.rows.len(), 10);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(one(&mut *connection, "1 + 1").1, Value::Int(2));
}

#[test]
fn parameters_take_the_type_that_the_statement_wants() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let sql = "SELECT $1::int + 1, $2::date, upper($3), $4::numeric, $5::bool, $6::text IS NULL";
    let statement = CheckedStatement::vouched(sql, StatementKind::Select);
    let text = |s: &str| Value::Text(s.into());
    let values = [
        Value::Int(41),
        text("2024-05-01"),
        text("a'b\\"),
        Value::Float(1.5),
        Value::Bool(true),
        Value::Null,
    ];
    let mut sink = Rows::default();
    connection.query(&statement, &values, None, &LIMITS, &mut sink).expect("runs");
    let expected = vec![
        Value::Int(42),
        Value::Date("2024-05-01".into()),
        text("A'B\\"),
        Value::Decimal("1.5".into()),
        Value::Bool(true),
        Value::Bool(true),
    ];
    assert_eq!(sink.rows, [expected]);
    let error =
        connection.query(&statement, &values[..2], None, &LIMITS, &mut Rows::default()).expect_err("too few");
    assert_eq!(error.code, HarvestCode::InvalidArgument);
}

#[test]
fn errors_have_codes_and_name_no_account() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    for (sql, code) in [
        ("SELEC 1", HarvestCode::InvalidArgument),
        ("SELECT * FROM no_such_table", HarvestCode::NotFound),
        ("SELECT no_such_column FROM pg_class", HarvestCode::InvalidArgument),
        ("SELECT 1 / 0", HarvestCode::InvalidArgument),
        ("SELECT 'x'::int", HarvestCode::InvalidArgument),
    ] {
        assert_eq!(fails(&mut *connection, sql).code, code, "{sql}");
    }
    let mut wrong = params.clone();
    wrong.user = "no_such_role".into();
    let error = PostgresDriver.connect(&wrong).err().expect("refused");
    assert_eq!(error.code, HarvestCode::PermissionDenied);
    assert!(!error.to_string().contains("no_such_role"), "{error}");
    wrong.port = 1;
    assert_eq!(PostgresDriver.connect(&wrong).err().expect("nobody there").code, HarvestCode::Unavailable);
}

const SCHEMA: &str = r#"
DROP SCHEMA IF EXISTS "Odd ""Schema""" CASCADE; DROP SCHEMA IF EXISTS feat CASCADE;
CREATE SCHEMA "Odd ""Schema"""; CREATE SCHEMA feat; COMMENT ON SCHEMA feat IS 'features';
SET search_path = feat;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN born AS date;
CREATE TYPE pair AS (a int, b text);
CREATE TABLE parent (a int, b int, name varchar(40) NOT NULL UNIQUE, PRIMARY KEY (a, b));
COMMENT ON TABLE parent IS 'a parent';
CREATE TABLE child (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pa int, pb int, m mood DEFAULT 'ok', n posint, d born,
  amount numeric(10, 2) NOT NULL DEFAULT 0, twice numeric GENERATED ALWAYS AS (amount * 2) STORED, tags text[], doc jsonb,
  made timestamptz DEFAULT now(), CONSTRAINT positive CHECK (amount >= 0),
  CONSTRAINT to_parent FOREIGN KEY (pb, pa) REFERENCES parent (b, a) DEFERRABLE);
COMMENT ON COLUMN child.amount IS 'how much';
CREATE INDEX child_made ON child (made DESC, lower(tags[1])) INCLUDE (amount) WHERE amount > 1;
CREATE TABLE measure (at date NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE measure_2024 PARTITION OF measure FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE VIEW busy WITH (security_invoker = true) AS SELECT c.id, p.name FROM child c JOIN parent p ON p.a = c.pa;
CREATE MATERIALIZED VIEW totals AS SELECT sum(amount) AS total FROM child;
CREATE FUNCTION add(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql AS 'SELECT a + b';
CREATE FUNCTION add(a text) RETURNS text LANGUAGE sql AS 'SELECT a';
CREATE PROCEDURE nothing() LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER stamped BEFORE INSERT OR UPDATE ON child FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE SEQUENCE counter;
CREATE TABLE "Odd ""Schema"""."na.me 'x'" ("Col ""q""" int PRIMARY KEY, "select" text);
"#;

fn find<'a>(objects: &'a [ObjectMeta], kind: ObjectType, name: &str) -> &'a ObjectMeta {
    objects
        .iter()
        .find(|o| o.object_type == kind && o.name == name)
        .unwrap_or_else(|| panic!("{name} is missing"))
}

#[test]
fn metadata_tells_every_feature() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    let sql = SCHEMA;
    writer.batch_execute(sql).expect("set up");
    let mut connection = connect(&params);
    let mut request = MetadataRequest::all(100_000);
    request.schemas = Some(vec!["feat".into(), "Odd \"Schema\"".into()]);
    let snapshot = connection.metadata(&request, &mut ()).expect("reads");
    assert_eq!(
        snapshot.schemas.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["Odd \"Schema\"", "feat"]
    );
    assert_eq!(snapshot.schemas[1].comment, "features");
    let objects = &snapshot.objects;

    let child = find(objects, ObjectType::Table, "child");
    let names: Vec<&str> = child.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["id", "pa", "pb", "m", "n", "d", "amount", "twice", "tags", "doc", "made"]);
    let column = |name: &str| child.columns.iter().find(|c| c.name == name).expect("column");
    assert_eq!(column("id").extra, "identity always");
    assert_eq!(
        column("m").enum_values.as_deref(),
        Some(&["sad".to_owned(), "ok".into(), "happy".into()][..])
    );
    assert_eq!(
        (column("n").data_type.as_str(), column("n").column_type.as_str()),
        ("integer", "feat.posint")
    );
    assert_eq!(column("d").data_type, "date");
    assert_eq!(
        (column("amount").column_type.as_str(), column("amount").comment.as_str()),
        ("numeric(10,2)", "how much")
    );
    assert!(column("twice").generation_expr.is_some() && column("twice").default.is_none());
    let key = &child.foreign_keys[0];
    assert_eq!((key.name.as_str(), key.parent_table.as_str(), key.deferrable), ("to_parent", "parent", true));
    assert_eq!(key.columns, [("pb".to_owned(), "b".to_owned()), ("pa".into(), "a".into())]);
    let index = child.indexes.iter().find(|i| i.name == "child_made").expect("index");
    assert!(
        index.predicate.is_some() && index.columns[0].descending && index.columns[1].expression.is_some()
    );
    assert!(index.columns[2].included && !index.columns[1].included);
    assert!(child.indexes.iter().any(|i| i.primary));
    assert!(child.constraints.iter().any(|c| c.name == "positive" && c.expression.is_some()));

    assert_eq!(find(objects, ObjectType::Table, "parent").comment, "a parent");
    assert_eq!(find(objects, ObjectType::Table, "measure").subtype, "partitioned");
    let partition = find(objects, ObjectType::Table, "measure_2024");
    assert_eq!((partition.subtype.as_str(), partition.parent.as_deref()), ("partition", Some("measure")));
    let view = find(objects, ObjectType::View, "busy");
    assert_eq!(view.depends_on.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["child", "parent"]);
    assert!(view.definition.as_ref().is_some_and(|d| d.contains("feat.child")));
    assert_eq!(find(objects, ObjectType::MaterializedView, "totals").columns.len(), 1);
    let adds: Vec<_> =
        objects.iter().filter(|o| o.object_type == ObjectType::Routine && o.name == "add").collect();
    assert_eq!(adds.len(), 2);
    assert_ne!(adds[0].signature, adds[1].signature);
    assert_eq!(find(objects, ObjectType::Routine, "nothing").subtype, "procedure");
    assert_eq!(find(objects, ObjectType::Trigger, "stamped").subtype, "INSERT OR UPDATE");
    assert_eq!(
        find(objects, ObjectType::Type, "mood").definition.as_deref(),
        Some("ENUM ('sad', 'ok', 'happy')")
    );
    assert_eq!(find(objects, ObjectType::Type, "pair").columns.len(), 2);
    let _ = find(objects, ObjectType::Sequence, "counter");
    let odd = find(objects, ObjectType::Table, "na.me 'x'");
    assert_eq!(odd.columns[0].name, "Col \"q\"");
    assert_eq!(harvest::Dialect::type_family(&PostgresDialect, &column("tags").data_type), TypeFamily::Array);
}

/// Row by row against `information_schema`, which shares nothing with our queries.
#[test]
fn columns_equal_those_of_information_schema() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    let mut connection = connect(&params);
    let mut request = MetadataRequest::all(100_000);
    request.schemas = Some(vec!["pg_catalog".into()]);
    let snapshot = connection.metadata(&request, &mut ()).expect("reads");
    let sql = "SELECT table_name::text, ordinal_position::int4, column_name::text, is_nullable = 'YES' FROM information_schema.columns \
               WHERE table_schema = 'pg_catalog' ORDER BY 1, 2";
    let theirs: Vec<(String, i32, String, bool)> = writer
        .query(sql, &[])
        .expect("reads")
        .iter()
        .map(|r| (r.get(0), r.get(1), r.get(2), r.get(3)))
        .collect();
    assert!(theirs.len() > 1_000);
    let mut ours: Vec<(String, i32, String, bool)> = snapshot
        .objects
        .iter()
        .filter(|o| matches!(o.object_type, ObjectType::Table | ObjectType::View))
        .flat_map(|o| {
            o.columns.iter().map(|c| (o.name.clone(), c.ordinal.cast_signed(), c.name.clone(), c.nullable))
        })
        .collect();
    ours.sort();
    let mut theirs = theirs;
    theirs.sort();
    assert_eq!(ours, theirs);
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
        PostgresDriver.connect(&params)
    };
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (tls, ca) in [
        (TlsMode::Preferred, None),
        (TlsMode::Required, None),
        (TlsMode::VerifyCa, Some(ca.as_str())),
        (TlsMode::VerifyIdentity, Some(ca.as_str())),
    ] {
        let mut connection = with(tls, ca).unwrap_or_else(|e| panic!("{tls:?}: {e}"));
        assert_eq!(
            ungated(&mut *connection, encrypted, LIMITS).expect("asks").rows[0][0],
            Value::Bool(true),
            "{tls:?}"
        );
        let interrupt = connection.interrupt();
        interrupt.interrupt();
    }
    for tls in [TlsMode::VerifyCa, TlsMode::VerifyIdentity] {
        assert!(with(tls, None).is_err(), "{tls:?} took a certificate that no public authority signed");
    }
}

#[test]
fn the_account_is_examined() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    writer
        .batch_execute(
            "DO $$ BEGIN CREATE ROLE plain_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
             GRANT pg_read_all_data TO plain_reader; ALTER ROLE plain_reader PASSWORD 'reader-pass-1'",
        )
        .expect("set up");
    let mut connection = connect(&params);
    let findings = connection.examine_account().expect("examines");
    assert!(findings.iter().any(|f| f.code == "superuser" && f.dangerous));
    let mut reader = params.clone();
    reader.user = "plain_reader".into();
    reader.password = harvest::Secret::new("reader-pass-1");
    let findings = connect(&reader).examine_account().expect("examines");
    assert!(findings.iter().any(|f| f.code == "role_membership"), "{findings:?}");
    assert!(findings.iter().all(|f| f.code != "superuser"));
}

#[test]
fn the_gate_speaks_this_dialect() {
    use harvest::Dialect;
    let policy = GatePolicy::default();
    assert!(PostgresDialect.check("SELECT count(*) FILTER (WHERE a > 1) FROM t", &policy).is_ok());
    let error = PostgresDialect.check("DELETE FROM t", &policy).expect_err("refused");
    assert_eq!(error.code, HarvestCode::PermissionDenied);
}
