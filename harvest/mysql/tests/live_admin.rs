//! Operations against a real MariaDB or MySQL server, named by `PENSTOCK_TEST_MARIADB_URL` (or `PENSTOCK_TEST_MYSQL_URL`).

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::time::{Duration, Instant};

use harvest::{AdminCache, AdminList, AdminRow, ConnectParams, Driver, HarvestCode};
use harvest_mysql::MysqlDriver;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

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

fn session(params: &ConnectParams) -> Conn {
    let opts = OptsBuilder::new()
        .ip_or_hostname(Some(params.host.clone()))
        .tcp_port(params.port)
        .user(Some(params.user.clone()))
        .pass(Some(params.password.expose()))
        .prefer_socket(false);
    Conn::new(opts).expect("connects")
}

fn row_of(rows: &[AdminRow], id: i64) -> Option<AdminRow> {
    rows.iter().find(|row| row["process_id"] == id).cloned()
}

#[test]
fn a_killed_statement_is_gone_and_a_killed_session_too() {
    let Some(params) = server() else { return };
    let mut admin = MysqlDriver.connect_admin(&params).expect("connects");
    let mut victim = session(&params);
    let id = i64::from(victim.connection_id());
    let runner = std::thread::spawn(move || {
        let slept: Result<Option<i64>, _> = victim.query_first("SELECT SLEEP(30)");
        (victim, slept)
    });
    let until = Instant::now() + Duration::from_secs(10);
    let running = loop {
        let rows = admin.list(AdminList::Processes, 10_000).expect("lists");
        match row_of(&rows, id) {
            Some(row) if row["info"] == "SELECT SLEEP(30)" => break row,
            _ => assert!(Instant::now() < until, "the statement never showed up"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((&running["is_idle"], &running["is_system"]), (&false.into(), &false.into()));
    admin.kill(id, false).expect("kills");
    let (mut victim, slept) = runner.join().expect("ends");
    // An interrupted SLEEP answers 1, or the statement fails: either way it did not sleep to its end.
    assert!(!matches!(slept, Ok(Some(0))), "{slept:?}");
    assert_eq!(victim.query_first::<i64, _>("SELECT 1").expect("the session lives"), Some(1));
    admin.kill(id, true).expect("ends the session");
    assert!(victim.query_drop("SELECT 1").is_err(), "the session is gone");
    let until = Instant::now() + Duration::from_secs(10);
    while row_of(&admin.list(AdminList::Processes, 10_000).expect("lists"), id).is_some() {
        assert!(Instant::now() < until, "the session is still listed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(admin.kill(id, true).expect_err("no such session").code, HarvestCode::NotFound);
}

#[test]
fn users_are_the_servers_own_and_carry_no_secret() {
    let Some(params) = server() else { return };
    let mut conn = session(&params);
    let name = format!("penstock_adm_{}", std::process::id());
    conn.query_drop(format!("CREATE USER '{name}'@'localhost' IDENTIFIED BY 'hunter2-Hunter2' ACCOUNT LOCK"))
        .expect("creates");
    let mut admin = MysqlDriver.connect_admin(&params).expect("connects");
    let users = admin.list(AdminList::Users, 10_000);
    conn.query_drop(format!("DROP USER '{name}'@'localhost'")).expect("drops");
    let users = users.expect("lists");
    let row = users.iter().find(|row| row["username"] == name.as_str()).expect("is listed");
    assert_eq!(
        (&row["locked"], &row["superuser"], &row["host"]),
        (&true.into(), &false.into(), &"localhost".into())
    );
    let all = format!("{users:?}");
    assert!(
        !all.contains("hunter2") && !all.contains("authentication_string") && !all.contains('*'),
        "no hash"
    );
    let after = admin.list(AdminList::Users, 10_000).expect("lists");
    assert!(after.iter().all(|row| row["username"] != name.as_str()));
}

#[test]
fn every_list_answers_rows_or_says_what_the_server_lacks() {
    let Some(params) = server() else { return };
    let mut admin = MysqlDriver.connect_admin(&params).expect("connects");
    for list in [
        AdminList::Status,
        AdminList::Digests,
        AdminList::Commands,
        AdminList::Errors,
        AdminList::UserConnections,
        AdminList::HostErrors,
        AdminList::Prepared,
        AdminList::Position,
        AdminList::Replication,
    ] {
        match admin.list(list, 5) {
            Ok(rows) => assert!(rows.len() <= 6, "{list:?}"),
            Err(error) => {
                assert_eq!(error.code, HarvestCode::FailedPrecondition, "{list:?}: {error}");
                assert!(error.details.contains_key("reason"), "{list:?}");
            }
        }
    }
    assert!(
        admin
            .list(AdminList::Status, 1_000)
            .expect("lists")
            .iter()
            .any(|row| row["variable_name"] == "Uptime")
    );
    match admin.flush(AdminCache::Query) {
        Ok(()) => {}
        Err(error) => assert_eq!(error.details["reason"], "engine_has_no_query_cache"),
    }
}
