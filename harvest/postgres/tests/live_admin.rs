//! Operations against a real PostgreSQL server, named by `PENSTOCK_TEST_POSTGRES_URL`.

#![expect(clippy::print_stderr, reason = "a skipped suite says so")]

use std::time::{Duration, Instant};

use harvest::{AdminCache, AdminList, AdminRow, ConnectParams, Driver, HarvestCode};
use harvest_postgres::PostgresDriver;
use postgres::{Client, NoTls};

/// The server's parameters and URL, or `None` with a loud line.
fn server() -> Option<(ConnectParams, String)> {
    let Ok(url) = std::env::var("PENSTOCK_TEST_POSTGRES_URL") else {
        eprintln!("SKIPPED: PENSTOCK_TEST_POSTGRES_URL names no server");
        return None;
    };
    Some((ConnectParams::from_url(&url).expect("a URL").1, url))
}

fn row_of(rows: &[AdminRow], id: i64) -> Option<AdminRow> {
    rows.iter().find(|row| row["process_id"] == id).cloned()
}

#[test]
fn a_killed_statement_is_gone_and_a_killed_session_too() {
    let Some((params, url)) = server() else { return };
    let mut admin = PostgresDriver.connect_admin(&params).expect("connects");
    let mut victim = Client::connect(&url, NoTls).expect("connects");
    let id = i64::from(victim.query_one("SELECT pg_backend_pid()", &[]).expect("answers").get::<_, i32>(0));
    let runner = std::thread::spawn(move || {
        let slept = victim.batch_execute("SELECT pg_sleep(30)");
        (victim, slept)
    });
    let until = Instant::now() + Duration::from_secs(10);
    let running = loop {
        let rows = admin.list(AdminList::Processes, 10_000).expect("lists");
        match row_of(&rows, id) {
            Some(row) if row["info"] == "SELECT pg_sleep(30)" && row["is_idle"] == false => break row,
            _ => assert!(Instant::now() < until, "the statement never showed up"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(running["is_system"], false);
    admin.kill(id, false).expect("kills");
    let (mut victim, slept) = runner.join().expect("ends");
    let cause = slept.expect_err("it was cancelled");
    assert_eq!(cause.code().map(|code| code.code().to_owned()).as_deref(), Some("57014"));
    victim.batch_execute("SELECT 1").expect("the session lives");
    admin.kill(id, true).expect("ends the session");
    assert!(victim.batch_execute("SELECT 1").is_err(), "the session is gone");
    let until = Instant::now() + Duration::from_secs(10);
    while row_of(&admin.list(AdminList::Processes, 10_000).expect("lists"), id).is_some() {
        assert!(Instant::now() < until, "the session is still listed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(admin.kill(id, true).expect_err("no such session").code, HarvestCode::NotFound);
}

#[test]
fn roles_are_the_servers_own_and_carry_no_secret() {
    let Some((params, url)) = server() else { return };
    let mut conn = Client::connect(&url, NoTls).expect("connects");
    let name = format!("penstock_adm_{}", std::process::id());
    conn.batch_execute(&format!("CREATE ROLE {name} LOGIN PASSWORD 'hunter2-Hunter2' CONNECTION LIMIT 3"))
        .expect("creates");
    let mut admin = PostgresDriver.connect_admin(&params).expect("connects");
    let users = admin.list(AdminList::Users, 10_000);
    conn.batch_execute(&format!("DROP ROLE {name}")).expect("drops");
    let users = users.expect("lists");
    let row = users.iter().find(|row| row["username"] == name.as_str()).expect("is listed");
    assert_eq!(
        (&row["locked"], &row["superuser"], &row["max_connections"]),
        (&false.into(), &false.into(), &3.into())
    );
    let all = format!("{users:?}");
    assert!(!all.contains("hunter2") && !all.contains("SCRAM") && !all.contains("md5"), "no hash");
    assert!(
        admin
            .list(AdminList::Users, 10_000)
            .expect("lists")
            .iter()
            .all(|row| row["username"] != name.as_str())
    );
}

#[test]
fn every_list_answers_rows_or_says_what_the_server_lacks() {
    let Some((params, _)) = server() else { return };
    let mut admin = PostgresDriver.connect_admin(&params).expect("connects");
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
    let status = admin.list(AdminList::Status, 1_000).expect("lists");
    assert!(
        status.iter().any(|row| row["variable_name"] == "numbackends" && row["category"] == "connections")
    );
    assert_eq!(admin.list(AdminList::Position, 1).expect("lists")[0]["position_kind"], "lsn");
    assert_eq!(
        admin.flush(AdminCache::Host).expect_err("has none").details["reason"],
        "engine_has_no_host_cache"
    );
}
