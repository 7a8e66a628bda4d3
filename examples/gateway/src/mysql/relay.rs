//! One MySQL session between a client and its own backend connection: commands are judged, answers are passed on packet
//! by packet; no result is held.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use harvest::{HarvestCode, HarvestError};
use harvest_gateway::{Phase, TransactionState};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::failure::Failure;
use crate::guard::{Decision, Guard, Outcome};
use crate::mysql::packet::{
    COMMAND_BYTES_MAX, PART_BYTES_MAX, Reader, STATUS_AUTOCOMMIT, STATUS_CURSOR_EXISTS, STATUS_IN_TRANS,
    STATUS_MORE_RESULTS, Wire, read_error, read_ok,
};
use crate::mysql::rows;

/// Prepared statements of one session.
const STATEMENTS_MAX: usize = 4_096;
/// Text of all prepared statements of one session, in bytes.
const STATEMENT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest part that is looked at instead of passed through.
const LOOK_BYTES_MAX: usize = 64 * 1024;
/// Longest wait for the next command, in seconds.
const IDLE_S: u64 = 8 * 3_600;

/// How the answer to a command is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Nothing.
    None,
    /// One packet.
    One,
    /// Result sets, as many as are announced.
    Results,
    /// What prepare answers.
    Prepare,
    /// Packets up to an end marker.
    Rows,
}

/// A session in work.
pub(crate) struct Relay {
    client: Wire,
    backend: Wire,
    guard: Guard,
    statements: HashMap<u32, Arc<[u8]>>,
    statement_bytes: usize,
    status: u16,
}

/// What an answer held.
#[derive(Default)]
struct Seen {
    rows: u64,
    affected: u64,
    error: Option<HarvestError>,
    /// First packet of a prepare's answer.
    prepared: Option<u32>,
}

impl Relay {
    pub(crate) fn new(client: Wire, backend: Wire, guard: Guard) -> Self {
        let status = STATUS_AUTOCOMMIT;
        Self { client, backend, guard, statements: HashMap::new(), statement_bytes: 0, status }
    }

    /// Serves until one side leaves.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        loop {
            let idle = std::time::Duration::from_secs(IDLE_S);
            let Ok(next) = tokio::time::timeout(idle, self.client.packet(COMMAND_BYTES_MAX)).await else {
                return Ok(());
            };
            let Some(command) = next? else { return Ok(()) };
            let Some(&code) = command.first() else { continue };
            match code {
                0x01 => {
                    self.backend.sequence = 0;
                    self.backend.send(&command).await?;
                    return self.backend.write.flush().await;
                }
                0x03 => self.query(command).await?,
                0x16 => self.prepare(command).await?,
                0x17 => self.execute(command).await?,
                0x02 => self.init(command).await?,
                0x19 => {
                    self.forget(&command);
                    self.pass(&command, Shape::None).await?;
                }
                0x1f => {
                    self.statements.clear();
                    self.statement_bytes = 0;
                    self.pass(&command, Shape::One).await?;
                }
                0x18 => drop(self.pass(&command, Shape::None).await?),
                0x04 | 0x1c => drop(self.pass(&command, Shape::Rows).await?),
                0x09 | 0x0e | 0x1a => drop(self.pass(&command, Shape::One).await?),
                0x1b => {
                    self.guard.multi_statements = Some(command.get(1) == Some(&0));
                    self.pass(&command, Shape::One).await?;
                }
                other => {
                    let what = format!("command 0x{other:02x}");
                    self.client.send_error(&Failure::unsupported(&what)).await?;
                }
            }
        }
    }

    async fn query(&mut self, mut command: Vec<u8>) -> io::Result<()> {
        let (decision, found) = self.guard.decide(&command[1..], Phase::Query).await;
        match decision {
            Decision::Pass => {}
            Decision::Rewrite(text) => {
                command.truncate(1);
                command.extend_from_slice(&text);
            }
            Decision::Answer(answer) => return rows::send_set(&mut self.client, &answer, self.status).await,
            Decision::Refuse(failure) => return self.client.send_error(&failure).await,
        }
        let started = Instant::now();
        let seen = self.pass(&command, Shape::Results).await?;
        if seen.error.is_none() {
            self.note_use(&command[1..]);
        }
        self.told(&command[1..], Phase::Query, started, found, seen);
        Ok(())
    }

    async fn init(&mut self, command: Vec<u8>) -> io::Result<()> {
        let seen = self.pass(&command, Shape::One).await?;
        if seen.error.is_none() {
            self.guard.schema = String::from_utf8_lossy(&command[1..]).into_owned();
        }
        Ok(())
    }

    async fn prepare(&mut self, mut command: Vec<u8>) -> io::Result<()> {
        match self.guard.decide(&command[1..], Phase::Prepare).await.0 {
            Decision::Pass => {}
            Decision::Rewrite(text) => {
                command.truncate(1);
                command.extend_from_slice(&text);
            }
            Decision::Answer(_) => {
                return self.client.send_error(&Failure::unsupported("this as a prepared statement")).await;
            }
            Decision::Refuse(failure) => return self.client.send_error(&failure).await,
        }
        let text = &command[1..];
        if self.statements.len() >= STATEMENTS_MAX || self.statement_bytes + text.len() > STATEMENT_BYTES_MAX
        {
            let message = format!(
                "a session keeps at most {STATEMENTS_MAX} prepared statements and {STATEMENT_BYTES_MAX} bytes of text"
            );
            let failure = Failure::typed(HarvestCode::LimitExceeded, &message);
            return self.client.send_error(&failure).await;
        }
        let text: Arc<[u8]> = text.into();
        let seen = self.pass(&command, Shape::Prepare).await?;
        if let Some(id) = seen.prepared {
            self.statement_bytes += text.len();
            self.statements.insert(id, text);
        }
        Ok(())
    }

    async fn execute(&mut self, command: Vec<u8>) -> io::Result<()> {
        let id = Reader::new(&command[1..]).int(4).unwrap_or(0) as u32;
        // MariaDB's -1 means the last one prepared, which this proxy does not number.
        let Some(text) = self.statements.get(&id).map(Arc::clone) else {
            let failure = Failure {
                mysql_errno: 1243,
                ..Failure::typed(HarvestCode::NotFound, "no prepared statement has this number")
            };
            return self.client.send_error(&failure).await;
        };
        let (decision, found) = self.guard.decide(&text, Phase::Execute).await;
        match decision {
            // A rewrite took place when it was prepared.
            Decision::Pass | Decision::Rewrite(_) => {}
            Decision::Answer(_) => {
                return self.client.send_error(&Failure::unsupported("this as a prepared statement")).await;
            }
            Decision::Refuse(failure) => return self.client.send_error(&failure).await,
        }
        let started = Instant::now();
        let seen = self.pass(&command, Shape::Results).await?;
        self.told(&text, Phase::Execute, started, found, seen);
        Ok(())
    }

    fn forget(&mut self, command: &[u8]) {
        let id = Reader::new(&command[1..]).int(4).unwrap_or(0) as u32;
        if let Some(text) = self.statements.remove(&id) {
            self.statement_bytes -= text.len();
        }
    }

    /// Follows `USE name`, so that hooks see the schema.
    fn note_use(&mut self, sql: &[u8]) {
        let Ok(text) = std::str::from_utf8(sql) else { return };
        let mut words = text.split_whitespace();
        if !words.next().is_some_and(|word| word.eq_ignore_ascii_case("use")) {
            return;
        }
        if let (Some(name), None) = (words.next(), words.next()) {
            self.guard.schema = name.trim_end_matches(';').trim_matches('`').to_owned();
        }
    }

    fn told(&self, sql: &[u8], phase: Phase, started: Instant, found: Outcome, seen: Seen) {
        let outcome =
            Outcome { rows: Some(seen.rows), affected: Some(seen.affected), error: seen.error, ..found };
        self.guard.report(sql, phase, started.elapsed(), outcome);
    }

    /// Sends a command on and its answer back.
    async fn pass(&mut self, command: &[u8], shape: Shape) -> io::Result<Seen> {
        self.backend.sequence = 0;
        self.backend.send(command).await?;
        self.backend.write.flush().await?;
        let mut seen = Seen::default();
        match shape {
            Shape::None => return Ok(seen),
            Shape::One => {
                let part = self.part().await?;
                self.note(&part, &mut seen);
            }
            Shape::Results => while self.result(&mut seen).await? {},
            Shape::Prepare => self.prepared(&mut seen).await?,
            Shape::Rows => self.rows(&mut seen).await?,
        }
        self.client.write.flush().await?;
        self.guard.transaction = if self.status & STATUS_IN_TRANS != 0 {
            TransactionState::Active
        } else {
            TransactionState::Idle
        };
        Ok(seen)
    }

    /// One result: an OK, an error, or columns and rows. Says whether another one follows.
    async fn result(&mut self, seen: &mut Seen) -> io::Result<bool> {
        let head = self.part().await?;
        match head.first() {
            Some(0x00 | 0xff) => return Ok(self.note(&head, seen)),
            Some(0xfb) => return Err(garbled("the backend asks for a file, which was not agreed on")),
            _ => {}
        }
        let columns = Reader::new(&head).lenenc().ok_or_else(|| garbled("a result without columns"))?;
        for _ in 0..columns {
            self.part().await?;
        }
        let end = self.part().await?;
        if let Some(status) = eof_status(&end) {
            self.status = status;
            if status & STATUS_CURSOR_EXISTS != 0 {
                return Ok(false);
            }
        }
        self.rows(seen).await?;
        Ok(seen.error.is_none() && self.status & STATUS_MORE_RESULTS != 0)
    }

    async fn rows(&mut self, seen: &mut Seen) -> io::Result<()> {
        loop {
            let part = self.part().await?;
            if let Some(status) = eof_status(&part) {
                self.status = status;
                return Ok(());
            }
            if part.first() == Some(&0xff) {
                self.note(&part, seen);
                return Ok(());
            }
            seen.rows += 1;
        }
    }

    async fn prepared(&mut self, seen: &mut Seen) -> io::Result<()> {
        let head = self.part().await?;
        if head.first() != Some(&0) {
            self.note(&head, seen);
            return Ok(());
        }
        let mut reader = Reader::new(&head[1..]);
        let (id, columns, params) = (reader.int(4), reader.int(2).unwrap_or(0), reader.int(2).unwrap_or(0));
        seen.prepared = id.map(|id| id as u32);
        for count in [params, columns] {
            if count > 0 {
                for _ in 0..=count {
                    self.part().await?;
                }
            }
        }
        Ok(())
    }

    /// Takes note of an OK or an error. Says whether another result follows.
    fn note(&mut self, part: &[u8], seen: &mut Seen) -> bool {
        match part.first() {
            Some(0xff) => {
                let (errno, message) = read_error(part);
                seen.error = Some(HarvestError::new(error_class(errno), message));
                false
            }
            Some(0x00) => match read_ok(part) {
                Some((affected, status)) => {
                    seen.affected += affected;
                    self.status = status;
                    status & STATUS_MORE_RESULTS != 0
                }
                None => false,
            },
            _ => false,
        }
    }

    /// Passes one packet from the backend to the client and gives its beginning. Long packets are not held.
    async fn part(&mut self) -> io::Result<Vec<u8>> {
        let mut shown = Vec::new();
        let mut is_first = true;
        loop {
            if self.backend.read.buffer().is_empty() {
                self.client.write.flush().await?;
            }
            let (mut left, sequence) =
                self.backend.header().await?.ok_or_else(|| garbled("the backend hung up"))?;
            let is_last = left < PART_BYTES_MAX;
            self.client.sequence = sequence;
            self.client.send_header(left).await?;
            if is_first && left <= LOOK_BYTES_MAX {
                shown.resize(left, 0);
                self.backend.read.read_exact(&mut shown).await?;
                self.client.write.write_all(&shown).await?;
            } else {
                let mut chunk = vec![0; left.min(LOOK_BYTES_MAX)];
                while left > 0 {
                    let len = left.min(chunk.len());
                    self.backend.read.read_exact(&mut chunk[..len]).await?;
                    self.client.write.write_all(&chunk[..len]).await?;
                    if is_first {
                        // Only the first byte of a long packet says anything, and it is neither end nor error.
                        shown.push(chunk[0]);
                        is_first = false;
                    }
                    left -= len;
                }
            }
            is_first = false;
            if is_last {
                return Ok(shown);
            }
        }
    }
}

fn eof_status(part: &[u8]) -> Option<u16> {
    (part.first() == Some(&0xfe) && part.len() == 5).then(|| u16::from_le_bytes([part[3], part[4]]))
}

fn error_class(errno: u16) -> HarvestCode {
    match errno {
        1044 | 1045 | 1142 | 1143 | 1227 | 1370 => HarvestCode::PermissionDenied,
        1049 | 1054 | 1146 | 1305 => HarvestCode::NotFound,
        1064 | 1149 | 1241 | 1248 => HarvestCode::InvalidArgument,
        1205 | 1213 => HarvestCode::Conflict,
        1317 | 1969 | 3024 => HarvestCode::DeadlineExceeded,
        _ => HarvestCode::Internal,
    }
}

fn garbled(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}
