//! Lists of backends as rows of the statistics tools, server by server; it knows no engine's SQL.

use std::collections::BTreeSet;
use std::time::Instant;

use harvest::{AdminList, AdminRow, HarvestCode, HarvestError, HarvestResult, Protocol};
use harvest_gateway::{AdminBackend, CallScope, Gateway, StatsFamily, StatsRequest, StatsRows, TargetFacts};
use serde_json::{Map, Value, json};

use super::object;

/// Rows of every server of these targets. A server behind several targets is asked once, unless the list is about the
/// database that the target names.
pub(super) fn rows(
    gateway: &Gateway,
    targets: &[TargetFacts],
    request: &StatsRequest,
) -> HarvestResult<StatsRows> {
    let Some(list) = list_of(request.family) else {
        return Err(HarvestError::new(HarvestCode::Internal, "the family has no list of backends"));
    };
    let scope = CallScope::new("stats", "host");
    let mut asked = BTreeSet::new();
    let mut rows = Vec::new();
    for target in targets {
        let (_, backends) = gateway.admin_backends(Some(&target.target_id), &scope, true)?;
        for backend in backends {
            let config = backend.backend();
            let found =
                target.servers.iter().find(|s| s.host == config.host && same_port(s.port, config.port));
            let (host, port) = found.map_or((config.host.clone(), config.port), |s| (s.host.clone(), s.port));
            let once = !(list == AdminList::Status || target.protocol == Protocol::Sqlite);
            if !asked.insert((host.clone(), port)) && once {
                continue;
            }
            let place = Place { target, host: &host, port };
            rows.extend(of_server(&backend, list, request, &place)?);
        }
    }
    Ok(rows)
}

fn same_port(reached: u16, configured: u16) -> bool {
    configured == 0 || reached == configured
}

/// Where rows come from.
struct Place<'a> {
    target: &'a TargetFacts,
    host: &'a str,
    port: u16,
}

fn of_server(
    backend: &AdminBackend,
    list: AdminList,
    request: &StatsRequest,
    place: &Place<'_>,
) -> HarvestResult<StatsRows> {
    let named = |error: HarvestError| error.with("target_id", place.target.target_id.as_str());
    let began = Instant::now();
    let mut connection = backend.connect().map_err(named)?;
    let ping_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    let listed = connection.list(list, request.rows_max).map_err(named)?;
    let uptime = if list == AdminList::Replication { uptime(&mut *connection) } else { None };
    let mut rows: StatsRows =
        listed.iter().map(|row| shaped(request.family, request.protocol, row, place)).collect();
    if list == AdminList::Replication {
        for row in &mut rows {
            row.insert("ping_time_us".to_owned(), json!(ping_us));
            row.insert("uptime_s".to_owned(), json!(uptime));
        }
    }
    Ok(rows)
}

fn uptime(connection: &mut dyn harvest::AdminConnection) -> Option<i64> {
    let rows = connection.list(AdminList::Status, 5_000).ok()?;
    let row = rows.iter().find(|row| {
        row.get("variable_name")
            .and_then(Value::as_str)
            .is_some_and(|name| name.eq_ignore_ascii_case("uptime"))
    })?;
    row.get("value")?.as_str()?.parse().ok()
}

fn list_of(family: StatsFamily) -> Option<AdminList> {
    Some(match family {
        StatsFamily::Status => AdminList::Status,
        StatsFamily::Processlist => AdminList::Processes,
        StatsFamily::Queries => AdminList::Digests,
        StatsFamily::Commands => AdminList::Commands,
        StatsFamily::Errors => AdminList::Errors,
        StatsFamily::Users => AdminList::UserConnections,
        StatsFamily::ClientCache => AdminList::HostErrors,
        StatsFamily::PreparedStatements => AdminList::Prepared,
        StatsFamily::Gtid => AdminList::Position,
        StatsFamily::Cluster => AdminList::Replication,
        StatsFamily::Connections | StatsFamily::FreeConnections | StatsFamily::QueryRules => return None,
    })
}

/// A row with the names of its tool.
fn shaped(family: StatsFamily, protocol: Protocol, row: &AdminRow, place: &Place<'_>) -> Map<String, Value> {
    let get = |key: &str| row.get(key).cloned().unwrap_or(Value::Null);
    let port = super::port(place.port);
    let mut shaped = match family {
        StatsFamily::Processlist => {
            let mut shaped = object(json!({
                "session_id": get("process_id"), "thread_id": null, "user": text(row, "user"),
                "database": get("database"), "client_host": text(row, "host"), "client_port": get("port"),
                "backend_host": place.host, "backend_port": port, "command": text(row, "command"),
                "time_ms": row.get("time_ms").and_then(Value::as_i64).unwrap_or(0), "info": get("info"),
            }));
            if protocol == Protocol::Pgsql {
                shaped.insert("backend_pid".to_owned(), get("process_id"));
                shaped.insert("backend_state".to_owned(), get("state"));
            }
            shaped
        }
        StatsFamily::Errors => {
            let mut shaped = row.clone();
            for (key, value) in [
                ("hostname", json!(place.host)),
                ("port", port),
                ("username", json!("")),
                ("client_address", Value::Null),
                ("database", json!("")),
            ] {
                shaped.insert(key.to_owned(), value);
            }
            shaped
        }
        StatsFamily::Queries => {
            let mut shaped = row.clone();
            shaped.insert("digest".to_owned(), json!(digest(&text(row, "digest"))));
            shaped.insert("client_address".to_owned(), Value::Null);
            shaped
        }
        StatsFamily::Commands => {
            let mut shaped = row.clone();
            shaped.insert("latency_histogram".to_owned(), Value::Null);
            shaped.insert("percentiles".to_owned(), Value::Null);
            shaped
        }
        StatsFamily::PreparedStatements => {
            let mut shaped = row.clone();
            let digest = digest_of(&text(row, "query"));
            shaped.insert("digest".to_owned(), json!(digest));
            shaped.insert("ref_count_client".to_owned(), json!(1));
            shaped
        }
        StatsFamily::Gtid => {
            let mut shaped = row.clone();
            shaped.insert("hostname".to_owned(), json!(place.host));
            shaped.insert("port".to_owned(), json!(place.port));
            shaped
        }
        StatsFamily::Cluster => {
            let mut shaped = Map::new();
            shaped.insert("raw".to_owned(), Value::Object(row.clone()));
            shaped.insert("hostname".to_owned(), json!(place.host));
            shaped.insert("port".to_owned(), json!(place.port));
            shaped.insert("protocol".to_owned(), json!(protocol.as_str()));
            shaped
        }
        _ => row.clone(),
    };
    shaped.insert("target_id".to_owned(), json!(place.target.target_id));
    shaped.insert("hostgroup".to_owned(), json!(place.target.hostgroup_id));
    shaped
}

fn text(row: &AdminRow, key: &str) -> String {
    row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An engine's own digest as 64 bits: a decimal number as it is, of hex digits the first sixteen.
fn digest(text: &str) -> String {
    if let Ok(number) = text.parse::<i64>() {
        return format!("0x{number:016X}");
    }
    let hex: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    format!("0x{:0>16}", hex.to_ascii_uppercase())
}

fn digest_of(text: &str) -> String {
    format!("0x{:016X}", harvest_gateway::call_digest("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_sixteen_digits_whatever_the_engine_says() {
        assert_eq!(digest("255"), "0x00000000000000FF");
        assert_eq!(digest("-1"), "0xFFFFFFFFFFFFFFFF");
        assert_eq!(digest("0123456789abcdef0123456789abcdef"), "0x0123456789ABCDEF");
        assert_eq!(digest(""), "0x0000000000000000");
    }
}
