//! SQL of operators and agents: one statement, watched while it is prepared, bounded while it runs; it knows no verb.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use mcp::ToolError;

use super::layers::projected;
use super::{AdminReply, AdminSql, Inner, ReplyKind};
use crate::cell::{Cell, Row};
use crate::error::ConfigResult;
use crate::guard::Named;
use crate::runtime::{AdminSession, StatsTable, StatsTables};
use crate::secrets::MASK;
use crate::verb::trimmed;

/// Longest run of one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_millis(5_000);
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

const KINDS: &[&str] = &["SELECT", "WITH", "VALUES", "INSERT", "UPDATE", "DELETE", "REPLACE"];

const READS: &[&str] = &["SELECT", "VALUES"];

impl AdminSql {
    pub(super) fn sql(
        &self,
        session: &AdminSession,
        text: &str,
        params: &[Cell],
        rows_max: usize,
    ) -> ConfigResult<AdminReply> {
        let text = trimmed(text);
        let first = first_word(text);
        if !KINDS.contains(&first.as_str()) {
            if first.is_empty() {
                return Err(ToolError::invalid("the statement is empty").with("argument", "sql"));
            }
            return Err(ToolError::denied(
                "gate",
                format!("{first} is not allowed here: {}", KINDS.join(", ")),
            )
            .with("construct", first));
        }
        let mut inner = self.lock();
        let inner = &mut *inner;
        let (is_read, named) = match self.prepare(inner, session, text) {
            Ok(found) => found,
            Err(error) if READS.contains(&first.as_str()) => return Err(error),
            // A change that is refused before it runs is one that was asked for; its text may hold a secret anywhere.
            Err(error) => return self.audited(session, "config", &first, &first, || Err(error)),
        };
        let shown = if named.touches_secret { mask_literals(text) } else { text.to_owned() };
        if is_read {
            self.refresh(inner, &named)?;
            let mut reply = AdminReply::new(shown, ReplyKind::Select);
            self.rows(inner, session, text, params, rows_max, &mut reply)?;
            return Ok(reply);
        }
        let tables: Vec<String> = named.written.iter().map(|(db, table)| format!("{db}.{table}")).collect();
        let action = format!("{first} {}", tables.join(", "));
        self.audited(session, "config", &action, &shown, || {
            let mut reply = AdminReply::new(shown.clone(), ReplyKind::Dml);
            inner.store.atomic(|| {
                self.rows(inner, session, text, params, rows_max, &mut reply)?;
                for (layer, table) in &named.written {
                    if table == "global_variables" {
                        inner.store.hide_secrets(layer, &self.families, session.may_write_secrets)?;
                    } else if layer == "disk" {
                        inner.store.hash_tokens("disk", &self.families)?;
                    }
                }
                Ok(())
            })?;
            Ok(reply)
        })
    }

    /// Prepares a statement to learn what it touches.
    fn prepare(&self, inner: &Inner, session: &AdminSession, text: &str) -> ConfigResult<(bool, Named)> {
        let guard = &inner.store.guard;
        guard.arm(session.may_write, session.may_write_secrets, Instant::now() + STATEMENT_TIMEOUT);
        let prepared = inner.store.connection.prepare(text);
        let prepared = prepared.map(|statement| (statement.readonly(), statement.column_count() > 0));
        let named = guard.disarm();
        match prepared {
            // SQLite does not ask the guard about the columns of RETURNING: it would show secrets.
            Ok((false, true)) => {
                Err(ToolError::denied("gate", "RETURNING is not allowed here: SELECT afterwards")
                    .with("construct", "RETURNING"))
            }
            Ok((is_read, _)) => Ok((is_read && named.written.is_empty(), named)),
            Err(error) => Err(self.sql_error(inner, &error, named.touches_secret)),
        }
    }

    /// Runs a statement and reads its rows within the bounds.
    fn rows(
        &self,
        inner: &Inner,
        session: &AdminSession,
        text: &str,
        params: &[Cell],
        rows_max: usize,
        reply: &mut AdminReply,
    ) -> ConfigResult<()> {
        let connection = &inner.store.connection;
        let guard = &inner.store.guard;
        let before = connection.total_changes();
        guard.arm(session.may_write, session.may_write_secrets, Instant::now() + STATEMENT_TIMEOUT);
        let outcome = read(connection, text, params, rows_max, reply);
        let named = guard.disarm();
        reply.rows_affected = connection.total_changes().saturating_sub(before);
        outcome.map_err(|error| self.sql_error(inner, &error, named.touches_secret))
    }

    /// What SQLite says, without text of the statement where that may hold a secret.
    fn sql_error(&self, inner: &Inner, error: &rusqlite::Error, touches_secret: bool) -> ToolError {
        if let Some(refusal) = inner.store.guard.take_refusal() {
            return ToolError::denied("gate", refusal);
        }
        match error {
            rusqlite::Error::MultipleStatement => {
                ToolError::invalid("one statement at a time is allowed").with("argument", "sql")
            }
            rusqlite::Error::Empty => ToolError::invalid("the statement is empty").with("argument", "sql"),
            rusqlite::Error::InvalidParameterCount(got, expected) => {
                ToolError::invalid(format!("the statement takes {expected} parameters, {got} are given"))
                    .with("argument", "params")
            }
            rusqlite::Error::SqlInputError { msg, offset, .. } => {
                // These repeat a piece of the statement, which may be a password.
                let repeats = msg.starts_with("near ") || msg.starts_with("unrecognized token");
                let plain = if repeats || touches_secret { "syntax error" } else { msg };
                let error = ToolError::invalid(plain.to_owned());
                if *offset >= 0 { error.with("position", *offset) } else { error }
            }
            other if other.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
                let limit = STATEMENT_TIMEOUT.as_millis() as u64;
                ToolError::new(mcp::ErrorCode::DeadlineExceeded, "the statement took too long")
                    .with("timeout_ms", limit)
                    .with("layer", "server")
            }
            rusqlite::Error::SqliteFailure(code, message) => {
                let message = message.as_deref().unwrap_or("the statement failed");
                let error = ToolError::invalid(message.to_owned()).with("errno", code.extended_code);
                if code.code == rusqlite::ErrorCode::DatabaseBusy {
                    return ToolError::new(mcp::ErrorCode::Conflict, "another process holds the file")
                        .retryable(true);
                }
                error
            }
            other => ToolError::invalid(other.to_string()),
        }
    }

    /// Rebuilds the projections that a statement names.
    fn refresh(&self, inner: &Inner, named: &Named) -> ConfigResult<()> {
        for (database, table) in &named.read {
            match database.as_str() {
                "main" => {
                    self.refresh_runtime(inner, table)?;
                    for family in &self.families {
                        let all = family.modules.iter().flat_map(|m| m.tables).copied();
                        let named: Vec<_> = all.filter(|def| def.name == table.as_str()).collect();
                        inner.store.mirror(family, &named)?;
                    }
                }
                "stats" => self.refresh_stats(inner, table)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn refresh_runtime(&self, inner: &Inner, table: &str) -> ConfigResult<()> {
        let Some(plain) = table.strip_prefix("runtime_") else { return Ok(()) };
        let running = self.running.load();
        if plain == "global_variables" {
            let mut rows = Vec::new();
            for (family, running) in self.families.iter().filter_map(|f| Some((f, running.get(f.name)?))) {
                for (name, value) in running.variables.values() {
                    let is_secret = family.variable(name).is_some_and(|v| v.is_secret());
                    let value = if is_secret && !value.is_empty() { MASK } else { value };
                    rows.push(vec![Cell::text(name), Cell::text(value)]);
                }
            }
            let columns = [
                crate::family::ColumnDef { name: "variable_name", decl: "" },
                crate::family::ColumnDef { name: "variable_value", decl: "" },
            ];
            return inner.store.project("main.runtime_global_variables", &columns, &rows);
        }
        for family in &self.families {
            let all = family.modules.iter().flat_map(|m| m.tables).copied();
            let Some(def) = all.into_iter().find(|t| t.name == plain) else { continue };
            let mirrored = family.runtime.mirrored(def.name);
            let rows = running.get(family.name).and_then(|r| r.tables.get(def.name));
            let rows = mirrored.as_ref().or(rows);
            let rows = rows.into_iter().flatten().map(|row| projected(family, def, row));
            let rows: Vec<Row> = family.runtime.beside(def.name).into_iter().chain(rows).collect();
            let columns: Vec<_> = def.columns.iter().chain(def.runtime_columns).copied().collect();
            return inner.store.project(&format!("main.{table}"), &columns, &rows);
        }
        Ok(())
    }

    fn refresh_stats(&self, inner: &Inner, table: &str) -> ConfigResult<()> {
        let sources: Vec<Arc<dyn StatsTables>> =
            self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (plain, reset) = match table.strip_suffix("_reset") {
            Some(plain) => (plain, true),
            None => (table, false),
        };
        for source in sources {
            let found: Option<&StatsTable> =
                source.tables().iter().find(|t| t.name == plain && (t.has_reset || !reset));
            if let Some(found) = found {
                let rows = source.read(found.name, reset)?;
                return inner.store.project(&format!("stats.{table}"), found.columns, &rows);
            }
        }
        Ok(())
    }
}

fn read(
    connection: &rusqlite::Connection,
    text: &str,
    params: &[Cell],
    rows_max: usize,
    reply: &mut AdminReply,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(text)?;
    reply.columns = statement
        .columns()
        .map(|c| (c.name().to_owned(), c.decl_type().unwrap_or_default().to_owned()))
        .collect();
    let width = reply.columns.len();
    let mut bytes = 0;
    let mut found = statement.query(rusqlite::params_from_iter(params))?;
    while let Some(row) = found.next()? {
        let cells = (0..width).map(|at| row.get_ref(at).map(Cell::read)).collect::<Result<Row, _>>()?;
        bytes += cells.iter().map(Cell::bytes).sum::<usize>();
        // A changing statement is run to its end, whatever is shown of it.
        if reply.rows.len() >= rows_max || bytes > ANSWER_BYTES_MAX {
            reply.truncated = true;
            if reply.kind == ReplyKind::Select {
                break;
            }
            continue;
        }
        reply.rows.push(cells);
    }
    Ok(())
}

/// The first word after blanks and comments, in capitals.
fn first_word(text: &str) -> String {
    let mut rest = text.trim_start();
    loop {
        if let Some(tail) = rest.strip_prefix("--") {
            rest = tail.split_once('\n').map_or("", |(_, tail)| tail).trim_start();
        } else if let Some(tail) = rest.strip_prefix("/*") {
            rest = tail.split_once("*/").map_or("", |(_, tail)| tail).trim_start();
        } else {
            break;
        }
    }
    rest.chars().take_while(char::is_ascii_alphabetic).take(20).collect::<String>().to_ascii_uppercase()
}

/// The statement with every literal replaced.
fn mask_literals(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if !matches!(c, '\'' | '"') {
            shown.push(c);
            continue;
        }
        loop {
            match rest.next() {
                Some(q) if q == c && rest.peek() == Some(&c) => {
                    rest.next();
                }
                Some(q) if q == c => break,
                None => break,
                Some(_) => {}
            }
        }
        shown.push(c);
        shown.push_str(MASK);
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_masked_and_nothing_else() {
        let text = "INSERT INTO t VALUES ('it''s', \"x\", 5) -- it";
        assert_eq!(mask_literals(text), "INSERT INTO t VALUES ('***', \"***\", 5) -- it");
        assert_eq!(mask_literals("VALUES ('open"), "VALUES ('***'");
        assert_eq!(first_word("/* a */ -- b\n  select 1"), "SELECT");
    }
}
