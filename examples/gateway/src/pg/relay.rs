//! One PostgreSQL session between a client and its own backend connection: statements are judged, everything else is passed
//! on as it is, both directions at once; no result is held.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use harvest::{HarvestCode, HarvestError};
use harvest_gateway::{Phase, TransactionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::failure::Failure;
use crate::guard::{Decision, Guard, Outcome};
use crate::pg::local::set_messages;
use crate::pg::wire::{self, MESSAGE_BYTES_MAX, READ_BYTES, Wire, c_text};

/// Prepared statements and portals of one session, each.
const NAMES_MAX: usize = 4_096;
/// Text of all prepared statements of one session, in bytes.
const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes on their way to the backend, above which the client is not read.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// Statements whose end is not there yet, above which the client is not read.
const OPEN_MAX: usize = 1_024;
/// Longest message of the backend that is looked at.
const LOOK_BYTES_MAX: usize = 64 * 1024;
/// Stands in for a refused message of a pipeline, so that the backend itself fails there and skips what follows.
const MARKER: &str = "penstock_refused_";

/// A message whose answer is awaited.
enum Open {
    Statement { sql: Arc<[u8]>, phase: Phase, started: Instant, outcome: Outcome },
    Sync,
}

/// A session in work.
pub(crate) struct Relay {
    client: Wire,
    backend: Wire,
    guard: Guard,
    statements: HashMap<Vec<u8>, Arc<[u8]>>,
    portals: HashMap<Vec<u8>, Arc<[u8]>>,
    statement_bytes: usize,
    open: VecDeque<Open>,
    refusals: HashMap<u64, Failure>,
    next_refusal: u64,
    to_backend: BytesMut,
    /// Bytes of the backend's present message that are passed on unseen.
    unseen: usize,
    status: u8,
}

impl Relay {
    pub(crate) fn new(client: Wire, backend: Wire, guard: Guard) -> Self {
        Self {
            client,
            backend,
            guard,
            statements: HashMap::new(),
            portals: HashMap::new(),
            statement_bytes: 0,
            open: VecDeque::new(),
            refusals: HashMap::new(),
            next_refusal: 0,
            to_backend: BytesMut::new(),
            unseen: 0,
            status: b'I',
        }
    }

    /// Serves until one side leaves.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        self.backend_messages().await?;
        loop {
            let mut waits = false;
            while self.to_backend.len() < AHEAD_BYTES_MAX && self.open.len() < OPEN_MAX {
                if self.client.buffer.first().is_some_and(|kind| matches!(kind, b'Q' | b'F'))
                    && self.is_busy()
                {
                    waits = true;
                    break;
                }
                let Some((kind, body)) = wire::take(&mut self.client.buffer, MESSAGE_BYTES_MAX)? else {
                    break;
                };
                if kind == b'X' {
                    self.to_backend.extend_from_slice(&wire::message(b'X', &[]));
                    return self.backend.write.write_all(&self.to_backend).await;
                }
                self.client_message(kind, &body).await?;
            }
            let may_read = !waits && self.to_backend.len() < AHEAD_BYTES_MAX && self.open.len() < OPEN_MAX;
            self.client.buffer.reserve(READ_BYTES);
            self.backend.buffer.reserve(READ_BYTES);
            tokio::select! {
                read = self.backend.read.read_buf(&mut self.backend.buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.backend_messages().await?;
                }
                written = self.backend.write.write(&self.to_backend), if !self.to_backend.is_empty() => {
                    self.to_backend.advance(written?);
                }
                read = self.client.read.read_buf(&mut self.client.buffer), if may_read => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the backend still owes the end of something.
    fn is_busy(&self) -> bool {
        let ends = |open: &Open| matches!(open, Open::Sync | Open::Statement { phase: Phase::Query, .. });
        self.open.iter().any(ends)
    }

    async fn client_message(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        match kind {
            b'Q' => self.query(body).await,
            b'P' => self.parse(body).await,
            b'B' => {
                self.bind(body);
                self.pass(kind, body);
                Ok(())
            }
            b'E' => self.execute(body).await,
            b'C' => {
                self.close(body);
                self.pass(kind, body);
                Ok(())
            }
            b'S' => {
                self.open.push_back(Open::Sync);
                self.pass(kind, body);
                Ok(())
            }
            b'F' => self.answer_error(&Failure::unsupported("function calls outside of SQL")).await,
            b'D' | b'H' | b'd' | b'c' | b'f' => {
                self.pass(kind, body);
                Ok(())
            }
            _ => {
                let failure = Failure::unsupported("this message");
                self.client.send(&wire::error(&failure, true)).await?;
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    fn pass(&mut self, kind: u8, body: &[u8]) {
        self.to_backend.reserve(body.len() + 5);
        self.to_backend.extend_from_slice(&[kind]);
        self.to_backend.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        self.to_backend.extend_from_slice(body);
    }

    async fn answer_error(&mut self, failure: &Failure) -> io::Result<()> {
        self.client.send(&[wire::error(failure, false), wire::ready(self.status)].concat()).await
    }

    async fn query(&mut self, body: &[u8]) -> io::Result<()> {
        let sql = body.strip_suffix(&[0]).unwrap_or(body);
        let (decision, outcome) = self.guard.decide(sql, Phase::Query).await;
        match decision {
            Decision::Pass => self.pass(b'Q', body),
            Decision::Rewrite(mut text) => {
                text.push(0);
                self.pass(b'Q', &text);
            }
            Decision::Answer(set) => return self.client.send(&set_messages(&set, self.status)).await,
            Decision::Refuse(failure) => return self.answer_error(&failure).await,
        }
        self.begin(sql.into(), Phase::Query, outcome);
        Ok(())
    }

    fn begin(&mut self, sql: Arc<[u8]>, phase: Phase, outcome: Outcome) {
        self.open.push_back(Open::Statement { sql, phase, started: Instant::now(), outcome });
    }

    async fn parse(&mut self, body: &[u8]) -> io::Result<()> {
        let mut rest = body;
        let (Some(name), Some(sql)) = (c_text(&mut rest), c_text(&mut rest)) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let before = self.statements.get(name).map_or(0, |text| text.len());
        let is_full = self.statements.len() >= NAMES_MAX && before == 0;
        if is_full || self.statement_bytes - before + sql.len() > STATEMENT_BYTES_MAX {
            let message = format!(
                "a session keeps at most {NAMES_MAX} prepared statements and {STATEMENT_BYTES_MAX} bytes of text"
            );
            self.refuse(Failure::typed(HarvestCode::LimitExceeded, &message));
            return Ok(());
        }
        match self.guard.decide(sql, Phase::Prepare).await.0 {
            Decision::Pass => self.pass(b'P', body),
            Decision::Rewrite(text) => self.pass(b'P', &[name, b"\0", &text, b"\0", rest].concat()),
            Decision::Answer(_) => self.refuse(Failure::unsupported("this as a prepared statement")),
            Decision::Refuse(failure) => {
                self.refuse(failure);
                return Ok(());
            }
        }
        self.statement_bytes = self.statement_bytes - before + sql.len();
        self.statements.insert(name.to_vec(), sql.into());
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) {
        let mut rest = body;
        let (Some(portal), Some(name)) = (c_text(&mut rest), c_text(&mut rest)) else { return };
        match self.statements.get(name) {
            Some(text) if self.portals.len() < NAMES_MAX || self.portals.contains_key(portal) => {
                self.portals.insert(portal.to_vec(), Arc::clone(text));
            }
            // A statement of SQL's own PREPARE was judged when it was made.
            _ => drop(self.portals.remove(portal)),
        }
    }

    async fn execute(&mut self, body: &[u8]) -> io::Result<()> {
        let mut rest = body;
        let portal = c_text(&mut rest).unwrap_or_default();
        let text = self.portals.get(portal).map(Arc::clone).unwrap_or_else(|| Arc::from(&b""[..]));
        let mut outcome = Outcome::default();
        if !text.is_empty() {
            let (decision, found) = self.guard.decide(&text, Phase::Execute).await;
            if let Decision::Refuse(failure) = decision {
                self.refuse(failure);
                return Ok(());
            }
            outcome = found;
        }
        self.pass(b'E', body);
        self.begin(text, Phase::Execute, outcome);
        Ok(())
    }

    fn close(&mut self, body: &[u8]) {
        let Some((kind, mut rest)) = body.split_first() else { return };
        let name = c_text(&mut rest).unwrap_or_default();
        if *kind == b'P' {
            self.portals.remove(name);
        } else if let Some(text) = self.statements.remove(name) {
            self.statement_bytes -= text.len();
        }
    }

    /// Refuses one message of a pipeline: what came before is done, what follows is skipped up to the next Sync.
    fn refuse(&mut self, failure: Failure) {
        let number = self.next_refusal;
        self.next_refusal += 1;
        // Refusals that were skipped themselves are forgotten in time.
        self.refusals.retain(|old, _| old + OPEN_MAX as u64 > number);
        self.refusals.insert(number, failure);
        let name = format!("{MARKER}{number}");
        self.pass(b'P', format!("{name}\0{name}\0\0\0").as_bytes());
    }

    /// Passes on what the backend has sent, and takes note of it.
    async fn backend_messages(&mut self) -> io::Result<()> {
        let mut out = Vec::with_capacity(self.backend.buffer.len());
        loop {
            if self.unseen > 0 {
                let len = self.unseen.min(self.backend.buffer.len());
                out.extend_from_slice(&self.backend.buffer.split_to(len));
                self.unseen -= len;
                if self.unseen > 0 {
                    break;
                }
            }
            let buffer = &mut self.backend.buffer;
            let Some(len) = wire::length(buffer, 1, usize::MAX)? else { break };
            let kind = buffer[0];
            let looks = matches!(kind, b'E' | b'C' | b'Z') && len <= LOOK_BYTES_MAX;
            if !looks {
                self.unseen = len + 1;
                self.note(kind, &[]);
                continue;
            }
            if buffer.len() <= len {
                break;
            }
            let whole = buffer.split_to(len + 1);
            match self.own_error(kind, &whole[5..]) {
                Some(error) => out.extend(error),
                None => out.extend_from_slice(&whole),
            }
            self.note(kind, &whole[5..]);
        }
        self.client.send(&out).await
    }

    /// The refusal that an error of the backend stands for.
    fn own_error(&mut self, kind: u8, body: &[u8]) -> Option<Vec<u8>> {
        if kind != b'E' || self.refusals.is_empty() {
            return None;
        }
        let message = wire::error_field(body, b'M')?;
        let digits: String = message.split_once(MARKER)?.1.chars().take_while(char::is_ascii_digit).collect();
        let failure = self.refusals.remove(&digits.parse().ok()?)?;
        Some(wire::error(&failure, false))
    }

    fn note(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'D' => {
                if let Some(Open::Statement { outcome, .. }) = self.open.front_mut() {
                    outcome.rows = Some(outcome.rows.unwrap_or(0) + 1);
                }
            }
            b'C' | b'I' | b's' => {
                let Some(Open::Statement { phase, outcome, .. }) = self.open.front_mut() else { return };
                if let Some(affected) = affected(body) {
                    outcome.affected = Some(outcome.affected.unwrap_or(0) + affected);
                }
                if *phase == Phase::Execute {
                    self.end();
                }
            }
            b'E' => {
                let state = wire::error_field(body, b'C').unwrap_or_default();
                let text = wire::error_field(body, b'M').unwrap_or_default();
                if let Some(Open::Statement { phase, outcome, .. }) = self.open.front_mut() {
                    outcome.error = Some(HarvestError::new(error_class(&state), text));
                    if *phase == Phase::Execute {
                        self.end();
                    }
                }
            }
            b'Z' => {
                self.status = body.first().copied().unwrap_or(b'I');
                self.guard.transaction = match self.status {
                    b'T' => TransactionState::Active,
                    b'E' => TransactionState::Failed,
                    _ => TransactionState::Idle,
                };
                // What was skipped after an error ends with its Sync.
                while let Some(open) = self.open.pop_front() {
                    let is_end = matches!(&open, Open::Sync | Open::Statement { phase: Phase::Query, .. });
                    if let Open::Statement { phase: Phase::Query, .. } = open {
                        self.report(open);
                    }
                    if is_end {
                        break;
                    }
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        if let Some(open) = self.open.pop_front() {
            self.report(open);
        }
    }

    fn report(&self, open: Open) {
        if let Open::Statement { sql, phase, started, outcome } = open
            && !sql.is_empty()
        {
            let duration: Duration = started.elapsed();
            self.guard.report(&sql, phase, duration, outcome);
        }
    }
}

/// Rows that a command tag such as `UPDATE 3` names; SELECT changes none.
fn affected(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.trim_end_matches('\0');
    let (words, number) = text.rsplit_once(' ')?;
    if words.starts_with("SELECT") || words.starts_with("FETCH") {
        return None;
    }
    number.parse().ok()
}

fn error_class(state: &str) -> HarvestCode {
    match state {
        "42501" => HarvestCode::PermissionDenied,
        "42P01" | "42703" | "42883" => HarvestCode::NotFound,
        "57014" => HarvestCode::DeadlineExceeded,
        "40001" | "40P01" | "55P03" => HarvestCode::Conflict,
        _ if state.starts_with("42") || state.starts_with("22") => HarvestCode::InvalidArgument,
        _ => HarvestCode::Internal,
    }
}
