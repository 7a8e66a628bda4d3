//! Tests of plan reading on plans as the engines print them.

use super::*;

fn text_rows(text: &str) -> Vec<Vec<Value>> {
    text.lines().map(|line| vec![Value::from(line)]).collect()
}

#[test]
fn sqlite_rows_become_a_tree() {
    let rows = vec![
        vec![json!(2), json!(0), json!(0), json!("SCAN orders")],
        vec![json!(5), json!(0), json!(0), json!("SEARCH c USING INDEX ix_customer (id=?)")],
        vec![json!(9), json!(0), json!(0), json!("LIST SUBQUERY 1")],
        vec![json!(11), json!(9), json!(0), json!("SEARCH i USING INTEGER PRIMARY KEY (rowid=?)")],
    ];
    let read = read_plan(DialectName::Sqlite, &rows);
    assert_eq!(read.plan[2]["children"][0]["id"], 11);
    assert_eq!(read.summary.full_scans, ["orders"]);
    assert_eq!(read.summary.indexes_used, ["ix_customer", "PRIMARY"]);
    assert!(read.text.contains("LIST SUBQUERY 1\n  SEARCH i"));
    let looped =
        vec![vec![json!(1), json!(2), json!(0), json!("A")], vec![json!(2), json!(1), json!(0), json!("B")]];
    assert_eq!(read_plan(DialectName::Sqlite, &looped).plan, json!([]));
}

#[test]
fn postgres_plans_are_read_in_both_forms() {
    let json = json!([{"Plan": {"Node Type": "Nested Loop", "Plan Rows": 10, "Total Cost": 22.5, "Plans": [
        {"Node Type": "Seq Scan", "Relation Name": "orders"},
        {"Node Type": "Index Scan", "Relation Name": "c", "Index Name": "c_pkey"}]}, "Execution Time": 0.25}]);
    let expected = Summary {
        estimated_rows: Some(10.0),
        estimated_cost: Some(22.5),
        full_scans: vec!["orders".into()],
        indexes_used: vec!["c_pkey".into()],
        actual_ms: Some(0.25),
    };
    for rows in [vec![vec![json.clone()]], vec![vec![Value::from(json.to_string())]]] {
        assert_eq!(read_plan(DialectName::Postgresql, &rows).summary, expected);
    }
    let text = "Nested Loop  (cost=0.15..22.50 rows=10 width=8) (actual time=0.1..0.2 rows=3 loops=1)\n  \
                ->  Seq Scan on orders  (cost=0.00..1.00 rows=1 width=4)\n  \
                ->  Index Scan using c_pkey on c  (cost=0.1..0.2 rows=1 width=4)\nExecution Time: 0.25 ms";
    assert_eq!(read_plan(DialectName::Postgresql, &text_rows(text)).summary, expected);
}

#[test]
fn mysql_and_mariadb_plans_are_read() {
    let mysql = json!({"query_block": {"cost_info": {"query_cost": "1.50"}, "nested_loop": [
        {"table": {"table_name": "orders", "access_type": "ALL", "rows_produced_per_join": 7}},
        {"table": {"table_name": "c", "access_type": "eq_ref", "key": "PRIMARY", "rows_produced_per_join": 3}}]}});
    let summary = read_plan(DialectName::Mysql, &[vec![Value::from(mysql.to_string())]]).summary;
    assert_eq!((summary.estimated_cost, summary.estimated_rows), (Some(1.5), Some(3.0)));
    assert_eq!((summary.full_scans, summary.indexes_used), (vec!["orders".into()], vec!["PRIMARY".into()]));
    let mariadb = json!({"query_block": {"cost": 0.01, "r_total_time_ms": 0.5, "table": {
        "table_name": "orders", "access_type": "ALL", "rows": 4}}});
    let summary = read_plan(DialectName::Mariadb, &[vec![Value::from(mariadb.to_string())]]).summary;
    assert_eq!((summary.actual_ms, summary.estimated_rows), (Some(0.5), Some(4.0)));
    let table = vec![
        json!(1),
        json!("SIMPLE"),
        json!("orders"),
        json!("ALL"),
        Value::Null,
        Value::Null,
        Value::Null,
        Value::Null,
        json!(12),
        json!("Using where"),
    ];
    let summary = read_plan(DialectName::Mariadb, &[table]).summary;
    assert_eq!((summary.full_scans, summary.estimated_rows), (vec!["orders".into()], Some(12.0)));
    let tree = "-> Filter: (o.id = 1)  (cost=0.35 rows=1) (actual time=0.01..0.02 rows=1 loops=1)\n    \
                -> Table scan on o  (cost=0.35 rows=1)";
    let summary = read_plan(DialectName::Mysql, &text_rows(tree)).summary;
    assert_eq!((summary.estimated_cost, summary.actual_ms), (Some(0.35), Some(0.02)));
    assert_eq!(summary.full_scans, ["o"]);
}
