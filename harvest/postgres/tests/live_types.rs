//! Types of a database's own and cells of any length against a real PostgreSQL server, named by `PENSTOCK_TEST_POSTGRES_URL`.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use harvest::{
    CheckedStatement, Column, ConnectParams, Connection, Driver, Flow, HarvestCode, HarvestError,
    HarvestResult, Limits, RowSink, StatementKind, Value,
};
use harvest_postgres::PostgresDriver;
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
}

impl RowSink for Rows {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: Vec<Value>) -> HarvestResult<Flow> {
        self.rows.push(row);
        Ok(Flow::Continue)
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

/// A value as text, whatever it was read as, with arrays as lists of texts.
fn texts(value: &Value) -> Vec<Option<String>> {
    match value {
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Null => vec![None],
        Value::Text(text) | Value::Uuid(text) | Value::Decimal(text) => vec![Some(text.clone())],
        Value::Int(number) => vec![Some(number.to_string())],
        other => panic!("{other:?} is no text"),
    }
}

fn lacks_type(error: &HarvestError) -> bool {
    let state = error.details.get("sqlstate").and_then(|state| state.as_str()).unwrap_or_default();
    matches!(state, "0A000" | "42704" | "42883")
}

/// Types that have no form of their own are shown exactly as the server writes them, alone and in arrays; types of the
/// database are looked up again after every reset.
#[test]
fn types_without_a_form_of_their_own_are_the_servers_text() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    writer
        .batch_execute(
            "DROP SCHEMA IF EXISTS kinds CASCADE; CREATE SCHEMA kinds; \
             CREATE TYPE kinds.mood AS ENUM ('sad', 'very \"happy\", really'); \
             CREATE TYPE kinds.pair AS (a int, b text); \
             CREATE DOMAIN kinds.name AS text CHECK (length(value) < 100); \
             CREATE DOMAIN kinds.short_name AS kinds.name; \
             CREATE DOMAIN kinds.numbers AS int[]; \
             CREATE TYPE kinds.span AS RANGE (subtype = float8); \
             CREATE TABLE kinds.users (id int, mood kinds.mood, tags text[]); \
             INSERT INTO kinds.users SELECT g, 'sad', ARRAY['x,' || g, NULL] FROM generate_series(1, 5) g",
        )
        .expect("set up");
    let mut connection = connect(&params);
    let expressions = [
        "(g, 'x, \"y\" ' || g)::kinds.pair",
        "(g, NULL)::kinds.pair",
        "ROW(g, 'a,b', NULL)",
        "'very \"happy\", really'::kinds.mood",
        "('n ' || g)::kinds.short_name",
        "int4range(g, g + 5)",
        "int4multirange(int4range(g, g + 5), int4range(g + 50, g + 55))",
        "kinds.span(g, g + 0.5)",
        "daterange(date '2024-01-01' + g, NULL)",
        "tstzmultirange(tstzrange(timestamptz '2024-01-01 00:00+00', NULL))",
        "('10.0.0.' || g)::inet",
        "('10.0.' || g || '.0/24')::cidr",
        "'08:00:2b:01:02:03'::macaddr",
        "'08:00:2b:01:02:03:04:05'::macaddr8",
        "point(g, -g)",
        "box(point(g, 1), point(0, 0))",
        "line(point(0, 0), point(1, g))",
        "lseg(point(0, 0), point(1, g))",
        "path '((0,0),(1,1))'",
        "polygon '((0,0),(1,1),(1,0))'",
        "circle(point(0, 0), g)",
        "to_tsvector('simple', 'b ' || g)",
        "to_tsquery('simple', 'b & c')",
        "'0/16B3748'::pg_lsn",
        "'12:15:'::pg_snapshot",
        "'pg_class'::regclass",
        "'int4'::regtype",
        "(g::text)::xid8",
        "g::text::xid",
        "'$.a[*]'::jsonpath",
        "'x'::\"char\"",
        "('c' || g)::name",
        "'(1,2)'::tid",
        "g::oid",
        "xmlelement(name a, g)",
    ];
    for expression in expressions {
        for _ in 0..2 {
            let sql = format!(
                "SELECT v, format('%s', v) FROM (SELECT {expression} AS v FROM generate_series(1, 20) g) q"
            );
            let rows = match ungated(&mut *connection, &sql, LIMITS) {
                Ok(rows) => rows.rows,
                // Types that are younger than the server, or left out of its build.
                Err(error) if lacks_type(&error) => break,
                Err(error) => panic!("{expression}: {error}"),
            };
            assert_eq!(rows.len(), 20);
            for row in rows {
                assert_eq!(texts(&row[0]), texts(&row[1]), "{expression}");
            }
            connection.reset().expect("resets");
        }
        let sql = format!(
            "SELECT array_agg(v), array_agg(CASE WHEN there THEN format('%s', v) END) FROM (SELECT {expression} AS v, true AS there \
             FROM generate_series(1, 5) g UNION ALL SELECT NULL, false) q"
        );
        // The server has no aggregate over anonymous records and pseudo-types of some versions.
        if let Ok(rows) = ungated(&mut *connection, &sql, LIMITS) {
            assert_eq!(texts(&rows.rows[0][0]), texts(&rows.rows[0][1]), "array of {expression}");
        }
    }
    let users = |connection: &mut dyn Connection| {
        let sql = "SELECT array_agg(u ORDER BY id), array_agg(u::text ORDER BY id) FROM kinds.users u";
        let mut rows = ungated(connection, sql, LIMITS).expect("arrays of composites");
        connection.reset().expect("resets");
        (rows.columns.remove(0), rows.rows.remove(0))
    };
    for _ in 0..3 {
        let (column, row) = users(&mut *connection);
        assert_eq!((column.native_type.as_str(), texts(&row[0])), ("users[]", texts(&row[1])));
    }
}

#[test]
fn nested_types_keep_their_shape() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    writer
        .batch_execute(
            "DROP SCHEMA IF EXISTS nested CASCADE; CREATE SCHEMA nested; CREATE DOMAIN nested.numbers AS int[]; \
             CREATE DOMAIN nested.price AS money",
        )
        .expect("set up");
    let mut connection = connect(&params);
    let ints = |items: &[i64]| Value::Array(items.iter().map(|i| Value::Int(*i)).collect());
    let text = |s: &str| Value::Text(s.into());
    let cases = [
        ("ARRAY[1, 2]::nested.numbers", ints(&[1, 2])),
        ("ARRAY[ARRAY[1, 2]::nested.numbers]::nested.numbers[]", Value::Array(vec![ints(&[1, 2])])),
        ("'1 2 3'::int2vector", ints(&[1, 2, 3])),
        ("'[2:3]={1,2}'::int[]", ints(&[1, 2])),
        ("ARRAY[1.5::money, NULL]", Value::Array(vec![Value::Decimal("1.50".into()), Value::Null])),
        ("2::money::nested.price", Value::Decimal("2.00".into())),
        (
            "ARRAY[box '(1,1),(0,0)', box '(2,2),(1,1)']",
            Value::Array(vec![text("(1,1),(0,0)"), text("(2,2),(1,1)")]),
        ),
        ("'1e400'::jsonb", text(&format!("1{}", "0".repeat(400)))),
        ("pg_sleep(0)", text("")),
        (
            "ARRAY['NULL', NULL, 'a\"b', '{}', '']::text[]",
            Value::Array(vec![text("NULL"), Value::Null, text("a\"b"), text("{}"), text("")]),
        ),
        ("NULL", Value::Null),
    ];
    for (expression, expected) in cases {
        assert_eq!(one(&mut *connection, expression).1, expected, "{expression}");
    }
    let (column, _) = one(&mut *connection, "ARRAY[1, 2]::nested.numbers");
    // The server names the type behind a domain.
    assert_eq!((column.native_type.as_str(), column.col_type), ("int4[]", harvest::ColType::Array));
}

/// What a session remembers of a statement must not outlive a change of its tables.
#[test]
fn a_changed_table_is_read_as_it_is_now() {
    let Some(params) = server() else { return };
    let mut writer = writer(&params);
    writer
        .batch_execute("DROP TABLE IF EXISTS turning; CREATE TABLE turning AS SELECT 1 AS a")
        .expect("set up");
    let mut connection = connect(&params);
    let mut read = || ungated(&mut *connection, "SELECT * FROM turning", LIMITS).expect("reads").rows;
    assert_eq!((read(), read()), (vec![vec![Value::Int(1)]], vec![vec![Value::Int(1)]]));
    for (change, expected) in [
        ("ALTER TABLE turning ALTER a TYPE inet USING '10.0.0.1'", vec![Value::Text("10.0.0.1".into())]),
        ("ALTER TABLE turning ALTER a TYPE text", vec![Value::Text("10.0.0.1/32".into())]),
        (
            "ALTER TABLE turning ADD b money DEFAULT 3",
            vec![Value::Text("10.0.0.1/32".into()), Value::Decimal("3.00".into())],
        ),
        ("ALTER TABLE turning DROP a", vec![Value::Decimal("3.00".into())]),
    ] {
        writer.batch_execute(change).expect(change);
        assert_eq!((read(), read()), (vec![expected.clone()], vec![expected]), "{change}");
    }
    writer.batch_execute("DROP TABLE turning").expect("drops");
    let gone = fails(&mut *connection, "SELECT * FROM turning");
    assert_eq!(gone.code, HarvestCode::NotFound);
    assert_eq!(one(&mut *connection, "1").1, Value::Int(1));
}

/// A cell of 100 MB passes through a bounded buffer, and the rows behind it are read as if nothing had been.
#[test]
fn a_huge_cell_is_cut_while_it_is_read() {
    let Some(params) = server() else { return };
    let mut connection = connect(&params);
    let limits = Limits { cell_bytes_max: 1_000, timeout_ms: 60_000 };
    let sql = "SELECT repeat('ä', 50000000), 1 UNION ALL SELECT 'b', 2";
    for _ in 0..2 {
        let rows = ungated(&mut *connection, sql, limits).expect("reads").rows;
        let Value::Text(text) = &rows[0][0] else { panic!("no text") };
        assert_eq!((text.len(), rows[0][1].clone()), (1_000, Value::Int(1)));
        assert_eq!(rows[1], [Value::Text("b".into()), Value::Int(2)]);
    }
    let bytes =
        ungated(&mut *connection, "SELECT decode(repeat('ab', 3000000), 'hex')", limits).expect("reads");
    assert_eq!(bytes.rows[0][0], Value::Bytes(vec![0xab; 1_000]));
}
