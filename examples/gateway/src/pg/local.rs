//! One PostgreSQL session that an engine of this process answers: the admin console, or a SQLite file. Plain queries only.

use std::io;
use std::time::Instant;

use harvest::{HarvestCode, HarvestError};
use harvest_gateway::{Phase, RowSet, TransactionState};

use crate::engine::{EngineSession, Event};
use crate::failure::Failure;
use crate::guard::{Decision, Guard, Outcome};
use crate::pg::wire::{self, MESSAGE_BYTES_MAX, READ_BYTES, Wire};

/// Serves until the client leaves.
pub(crate) async fn serve(mut wire: Wire, engine: EngineSession, mut guard: Guard) -> io::Result<()> {
    let mut hello = wire::message(b'R', &0i32.to_be_bytes());
    for (name, value) in [
        ("server_version", "16.0 (penstock)"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        hello.extend(wire::message(b'S', format!("{name}\0{value}\0").as_bytes()));
    }
    hello.extend(wire::message(b'K', &[0; 8]));
    hello.extend(wire::ready(b'I'));
    wire.send(&hello).await?;
    let mut skipping = false;
    while let Some((kind, body)) = wire.message(MESSAGE_BYTES_MAX).await? {
        match kind {
            b'X' => return Ok(()),
            b'Q' => query(&mut wire, &engine, &mut guard, &body).await?,
            b'S' => {
                skipping = false;
                wire.send(&wire::ready(status(&guard))).await?;
            }
            _ if skipping => {}
            b'H' => {}
            _ => {
                skipping = true;
                let failure = Failure::unsupported("prepared statements on this port");
                wire.send(&wire::error(&failure, false)).await?;
            }
        }
    }
    Ok(())
}

fn status(guard: &Guard) -> u8 {
    if guard.transaction == TransactionState::Active { b'T' } else { b'I' }
}

async fn query(wire: &mut Wire, engine: &EngineSession, guard: &mut Guard, body: &[u8]) -> io::Result<()> {
    let sql = body.strip_suffix(&[0]).unwrap_or(body);
    let mut text = String::from_utf8_lossy(sql).into_owned();
    if text.trim().trim_end_matches(';').is_empty() {
        let out = [wire::message(b'I', &[]), wire::ready(status(guard))].concat();
        return wire.send(&out).await;
    }
    let (decision, found) = guard.decide(sql, Phase::Query).await;
    match decision {
        Decision::Pass => {}
        Decision::Rewrite(fresh) => text = String::from_utf8_lossy(&fresh).into_owned(),
        Decision::Answer(set) => return wire.send(&set_messages(&set, status(guard))).await,
        Decision::Refuse(failure) => {
            return wire.send(&[wire::error(&failure, false), wire::ready(status(guard))].concat()).await;
        }
    }
    let started = Instant::now();
    let outcome = answer(wire, engine, guard, text).await?;
    guard.report(sql, Phase::Query, started.elapsed(), Outcome { digest: found.digest, ..outcome });
    Ok(())
}

/// A whole small result.
pub(crate) fn set_messages(set: &RowSet, status: u8) -> Vec<u8> {
    let mut out = wire::columns(&set.columns);
    for row in &set.rows {
        out.extend(wire::row(row));
    }
    out.extend(wire::complete(&format!("SELECT {}", set.rows.len())));
    out.extend(wire::ready(status));
    out
}

async fn answer(
    wire: &mut Wire,
    engine: &EngineSession,
    guard: &mut Guard,
    text: String,
) -> io::Result<Outcome> {
    let word = text.split_whitespace().next().unwrap_or_default().trim_end_matches(';').to_ascii_uppercase();
    let mut events = engine.run(text).await;
    let (mut rows, mut has_columns, mut out) = (0, false, Vec::new());
    loop {
        match events.recv().await {
            Some(Event::Columns(columns)) => {
                has_columns = true;
                out.extend(wire::columns(&columns));
            }
            Some(Event::Row(row)) => {
                rows += 1;
                out.extend(wire::row(&row));
                if out.len() >= READ_BYTES || events.is_empty() {
                    wire.send(&out).await?;
                    out.clear();
                }
            }
            Some(Event::Done { affected, in_transaction, info, .. }) => {
                guard.transaction =
                    if in_transaction { TransactionState::Active } else { TransactionState::Idle };
                if !info.is_empty() {
                    let notice = format!("SNOTICE\0VNOTICE\0C00000\0M{}\0\0", info.replace('\0', " "));
                    out.extend(wire::message(b'N', notice.as_bytes()));
                }
                let tag = match word.as_str() {
                    _ if has_columns => format!("SELECT {rows}"),
                    "INSERT" | "REPLACE" => format!("INSERT 0 {affected}"),
                    "UPDATE" | "DELETE" | "LOAD" | "SAVE" => format!("{word} {affected}"),
                    other => other.chars().take(16).collect(),
                };
                out.extend(wire::complete(&tag));
                out.extend(wire::ready(status(guard)));
                wire.send(&out).await?;
                return Ok(Outcome {
                    rows: Some(rows),
                    affected: Some(affected),
                    error: None,
                    ..Outcome::default()
                });
            }
            Some(Event::Fail(failure)) => {
                out.extend(wire::error(&failure, false));
                out.extend(wire::ready(status(guard)));
                wire.send(&out).await?;
                let code = match failure.postgres_state {
                    "42501" => HarvestCode::PermissionDenied,
                    state if state.starts_with("42") => HarvestCode::InvalidArgument,
                    _ => HarvestCode::Internal,
                };
                let error = Some(HarvestError::new(code, failure.message));
                return Ok(Outcome { rows: Some(rows), affected: None, error, ..Outcome::default() });
            }
            None => return Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}
