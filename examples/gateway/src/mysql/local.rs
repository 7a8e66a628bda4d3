//! One MySQL session that an engine of this process answers: the admin console, or a SQLite file.

use std::io;
use std::time::Instant;

use harvest::{HarvestCode, HarvestError};
use harvest_gateway::{Phase, TransactionState};
use tokio::io::AsyncWriteExt as _;

use crate::engine::{EngineSession, Event};
use crate::failure::Failure;
use crate::guard::{Decision, Guard, Outcome};
use crate::mysql::packet::{
    COMMAND_BYTES_MAX, STATUS_AUTOCOMMIT, STATUS_IN_TRANS, Wire, eof_packet, error_packet, put_lenenc,
};
use crate::mysql::rows;

/// Serves until the client leaves.
pub(crate) async fn serve(
    mut wire: Wire,
    engine: EngineSession,
    mut guard: Guard,
    version: &str,
) -> io::Result<()> {
    while let Some(command) = wire.packet(COMMAND_BYTES_MAX).await? {
        match command.first() {
            Some(0x01) | None => return Ok(()),
            Some(0x03) => query(&mut wire, &engine, &mut guard, &command[1..], version).await?,
            Some(0x02 | 0x0e | 0x1f) => wire.send_ok(0, 0, status(&guard), "").await?,
            Some(0x04) => {
                wire.send(&eof_packet(status(&guard))).await?;
                wire.write.flush().await?;
            }
            Some(0x18 | 0x19) => {}
            Some(other) => {
                let failure = Failure::unsupported(&format!("command 0x{other:02x} on this port"));
                wire.send_error(&failure).await?;
            }
        }
    }
    Ok(())
}

fn status(guard: &Guard) -> u16 {
    if guard.transaction == TransactionState::Active { STATUS_IN_TRANS } else { STATUS_AUTOCOMMIT }
}

async fn query(
    wire: &mut Wire,
    engine: &EngineSession,
    guard: &mut Guard,
    sql: &[u8],
    version: &str,
) -> io::Result<()> {
    let mut text = String::from_utf8_lossy(sql).into_owned();
    if let Some(answer) = client_chatter(&text, version) {
        return rows::send_set(wire, &answer, status(guard)).await;
    }
    let (decision, found) = guard.decide(sql, Phase::Query).await;
    match decision {
        Decision::Pass => {}
        Decision::Rewrite(fresh) => text = String::from_utf8_lossy(&fresh).into_owned(),
        Decision::Answer(answer) => return rows::send_set(wire, &answer, status(guard)).await,
        Decision::Refuse(failure) => return wire.send_error(&failure).await,
    }
    if is_session_setting(&text) {
        return wire.send_ok(0, 0, status(guard), "").await;
    }
    let started = Instant::now();
    let outcome = answer(wire, engine, guard, text).await?;
    guard.report(sql, Phase::Query, started.elapsed(), Outcome { digest: found.digest, ..outcome });
    Ok(())
}

async fn answer(
    wire: &mut Wire,
    engine: &EngineSession,
    guard: &mut Guard,
    text: String,
) -> io::Result<Outcome> {
    let mut events = engine.run(text).await;
    let (mut rows_sent, mut has_columns) = (0, false);
    loop {
        match events.recv().await {
            Some(Event::Columns(columns)) => {
                has_columns = true;
                rows::send_columns(wire, &columns, status(guard)).await?;
            }
            Some(Event::Row(row)) => {
                rows_sent += 1;
                wire.send(&rows::row_packet(&row)).await?;
                if events.is_empty() {
                    wire.write.flush().await?;
                }
            }
            Some(Event::Done { affected, last_id, in_transaction, info }) => {
                guard.transaction =
                    if in_transaction { TransactionState::Active } else { TransactionState::Idle };
                if has_columns {
                    wire.send(&eof_packet(status(guard))).await?;
                    wire.write.flush().await?;
                } else {
                    let mut framed = Vec::new();
                    put_lenenc(&mut framed, info.len() as u64);
                    framed.extend_from_slice(info.as_bytes());
                    let info = String::from_utf8_lossy(&framed).into_owned();
                    let info = if info.len() > 1 { info } else { String::new() };
                    wire.send_ok(affected, last_id, status(guard), &info).await?;
                }
                return Ok(Outcome {
                    rows: Some(rows_sent),
                    affected: Some(affected),
                    error: None,
                    ..Outcome::default()
                });
            }
            Some(Event::Fail(failure)) => {
                wire.send(&error_packet(&failure)).await?;
                wire.write.flush().await?;
                let code = match failure.mysql_errno {
                    1064 => HarvestCode::InvalidArgument,
                    1227 => HarvestCode::PermissionDenied,
                    _ => HarvestCode::Internal,
                };
                let error = Some(HarvestError::new(code, failure.message));
                return Ok(Outcome { rows: Some(rows_sent), affected: None, error, ..Outcome::default() });
            }
            None => {
                let failure = Failure::unavailable("the engine of this session is gone".to_owned());
                wire.send_error(&failure).await?;
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    }
}

/// What clients set at their start and an engine here has no use for.
fn is_session_setting(text: &str) -> bool {
    let upper = text.trim_start().to_ascii_uppercase();
    ["SET NAMES", "SET AUTOCOMMIT", "SET SESSION", "SET CHARACTER", "SET @@"]
        .iter()
        .any(|w| upper.starts_with(w))
}

/// Questions that client programs ask on their own at the start.
fn client_chatter(text: &str, version: &str) -> Option<harvest_gateway::RowSet> {
    let upper = text.trim().trim_end_matches(';').to_ascii_uppercase();
    let answer = match upper.as_str() {
        "SELECT @@VERSION_COMMENT LIMIT 1" => ("@@version_comment", "penstock gateway".to_owned()),
        "SELECT @@VERSION" | "SELECT VERSION()" => ("@@version", version.to_owned()),
        "SELECT DATABASE(), USER() LIMIT 1" | "SELECT DATABASE()" => ("DATABASE()", "main".to_owned()),
        "SELECT @@MAX_ALLOWED_PACKET" => ("@@max_allowed_packet", COMMAND_BYTES_MAX.to_string()),
        _ => return None,
    };
    let column = harvest::Column::new(answer.0, harvest::ColType::String, "text");
    Some(harvest_gateway::RowSet { columns: vec![column], rows: vec![vec![harvest::Value::Text(answer.1)]] })
}
