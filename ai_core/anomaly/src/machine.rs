//! The structural pass: tokens of a new statement through a bounded stack of clauses into signals.

mod arm;
mod bracket;
mod clause;
mod finish;
mod frame;
mod name;
mod operand;
mod term;
mod words;

use crate::digest::{Digester, Fingerprint};
use crate::keywords::{Class, Kw};
use crate::lexer::{Lexer, Marks, SqlMode, Tail};
use crate::rules::Signal;
use crate::token::{Dialect, Kind, LitClass, Op, Tok};
use crate::value::Val;
use frame::{Clause, Ctx, Frame, Opener};
use operand::{Operand, flag};
use term::Link;

/// Brackets deeper than this are counted, not analysed.
const FRAMES_MAX: usize = 96;
/// Tokens looked at ahead of the current one.
const AHEAD: usize = 8;
/// Tokens held at once; a longer statement passes through in pieces.
const WINDOW_TOKENS: usize = 2048;

/// What the structural pass found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Analysis {
    /// `Signal` bits.
    pub(crate) signals: u64,
    pub(crate) class: StatementClass,
    /// Hash of the first table that is no catalog; 0 if none.
    pub(crate) table: u64,
    /// Hash of everything up to that table: what injected text cannot change.
    pub(crate) head: u64,
    /// Reads a system catalog.
    pub(crate) catalog: bool,
}

/// Coarse class of a statement, for behaviour rules.
// Exhaustive on purpose: profiles keep one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum StatementClass {
    /// SELECT, VALUES, TABLE, WITH.
    #[default]
    Read,
    /// INSERT, UPDATE, DELETE, MERGE, COPY, LOAD.
    Write,
    /// CREATE, ALTER, DROP, TRUNCATE.
    Definition,
    /// GRANT, REVOKE, CREATE USER.
    Control,
    /// SHOW, DESCRIBE, SET, transactions, health checks.
    Session,
    /// CALL, DO, EXECUTE, PREPARE.
    Routine,
}

pub(crate) fn class_of(kw: Kw) -> StatementClass {
    match kw {
        Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge | Kw::Copy | Kw::Load => StatementClass::Write,
        Kw::Create | Kw::Alter | Kw::Drop | Kw::Attach => StatementClass::Definition,
        Kw::Grant => StatementClass::Control,
        Kw::Show | Kw::Fetch | Kw::Set | Kw::Transaction | Kw::Explain => StatementClass::Session,
        Kw::Call | Kw::Prepare | Kw::Handler | Kw::Waitfor => StatementClass::Routine,
        _ => StatementClass::Read,
    }
}

/// Buffers that a thread keeps between statements.
#[derive(Default)]
pub(crate) struct Scratch {
    tokens: Vec<Tok>,
    frames: Vec<Frame>,
    marks: Marks,
}

/// Reads a statement once: its fingerprint, and its tokens kept in `scratch` for [`analyse_read`]. A text
/// too long for that is analysed on the way.
pub(crate) fn read(
    sql: &[u8],
    dialect: Dialect,
    mode: SqlMode,
    key: u64,
    scratch: &mut Scratch,
) -> (Fingerprint, Option<Analysis>) {
    let Scratch { tokens, frames, marks } = scratch;
    let mut lexer = Lexer::new(sql, dialect, mode);
    let mut digester = Digester::new(sql, key);
    let mut machine = None;
    tokens.clear();
    loop {
        let t = lexer.next_token();
        if t.kind == Kind::Eof {
            break;
        }
        digester.push(&t);
        if tokens.len() >= WINDOW_TOKENS {
            if machine.is_none() {
                frames.clear();
                machine = Some(Machine::new(sql, dialect));
            }
            if let Some(m) = &mut machine {
                m.feed(tokens, frames, false);
            }
        }
        tokens.push(t);
    }
    *marks = lexer.marks;
    let fp = digester.finish(marks);
    let analysis = machine.map(|m| m.complete(tokens, frames, marks, mode));
    (fp, analysis)
}

/// Analyses the statement that `read` left in `scratch`.
pub(crate) fn analyse_read(sql: &[u8], dialect: Dialect, mode: SqlMode, scratch: &mut Scratch) -> Analysis {
    let Scratch { tokens, frames, marks } = scratch;
    frames.clear();
    Machine::new(sql, dialect).complete(tokens, frames, marks, mode)
}

/// Judges one statement; time is linear in its length, memory bounded by the window.
pub(crate) fn analyse(sql: &[u8], dialect: Dialect, mode: SqlMode, scratch: &mut Scratch) -> Analysis {
    match read(sql, dialect, mode, 0, scratch) {
        (_, Some(done)) => done,
        (_, None) => analyse_read(sql, dialect, mode, scratch),
    }
}

struct Machine<'a> {
    src: &'a [u8],
    dialect: Dialect,
    signals: u64,
    frames: Vec<Frame>,
    overflow: u32,
    first: Kw,
    second: Kw,
    class: StatementClass,
    statements: u32,
    /// Inside a routine or trigger body: `;` separates its statements.
    body: bool,
    table: u64,
    head: u64,
    user_table: bool,
    catalog: bool,
    system_tables: u32,
    prev: Tok,
    prev2: Tok,
    embedded: Option<(usize, usize)>,
    encoded: u32,
    /// Kinds of constant comparisons so far: 1 for numbers, 2 for texts.
    const_kinds: u8,
    /// Connectives so far.
    links: u32,
    extra_close: bool,
    /// No token of the current statement was seen yet.
    fresh: bool,
}

impl<'a> Machine<'a> {
    fn new(src: &'a [u8], dialect: Dialect) -> Self {
        Machine {
            src,
            dialect,
            signals: 0,
            frames: Vec::new(),
            overflow: 0,
            first: Kw::None,
            second: Kw::None,
            class: StatementClass::Read,
            statements: 1,
            body: false,
            table: 0,
            head: 1,
            user_table: false,
            catalog: false,
            system_tables: 0,
            prev: Tok::EOF,
            prev2: Tok::EOF,
            embedded: None,
            encoded: 0,
            const_kinds: 0,
            links: 0,
            extra_close: false,
            fresh: true,
        }
    }

    /// Takes the tokens of the window but the last few, which later ones may explain.
    fn feed(&mut self, tokens: &mut Vec<Tok>, frames: &mut Vec<Frame>, ended: bool) {
        // The thread's buffer serves while tokens are taken, and goes back grown.
        std::mem::swap(&mut self.frames, frames);
        let until = if ended { tokens.len() } else { tokens.len().saturating_sub(AHEAD) };
        let mut i = 0;
        while i < until {
            let row = self.plain_row(&tokens[i..until]);
            if row > 0 {
                i += row;
                continue;
            }
            self.step(tokens, i);
            i += 1;
        }
        tokens.drain(..until);
        std::mem::swap(&mut self.frames, frames);
    }

    /// Tokens of a VALUES row that holds nothing but data, so that a bulk insert costs little; 0 if it
    /// must be looked at.
    #[inline]
    fn plain_row(&mut self, tokens: &[Tok]) -> usize {
        let opens = tokens[0].kind == Kind::LParen && self.prev.kind == Kind::Comma && self.table != 0;
        if !opens || self.overflow > 0 {
            return 0;
        }
        let top = self.top();
        if !top.is_query || top.clause != Clause::Values {
            return 0;
        }
        let mut value = false;
        for (i, t) in tokens.iter().enumerate().skip(1) {
            let data = match t.kind {
                Kind::Number | Kind::Param => true,
                Kind::Text => t.class != LitClass::Script,
                Kind::Word => matches!(t.kw, Kw::Null | Kw::Default | Kw::True | Kw::False),
                _ => false,
            };
            match t.kind {
                _ if data && !value => value = true,
                Kind::Comma if value => value = false,
                Kind::RParen if value => {
                    (self.prev2, self.prev) = (tokens[i - 1], *t);
                    return i + 1;
                }
                _ => return 0,
            }
        }
        0
    }

    fn complete(
        mut self,
        tokens: &mut Vec<Tok>,
        frames: &mut Vec<Frame>,
        marks: &Marks,
        mode: SqlMode,
    ) -> Analysis {
        self.feed(tokens, frames, true);
        std::mem::swap(&mut self.frames, frames);
        self.finish(marks);
        std::mem::swap(&mut self.frames, frames);
        let mut analysis = Analysis {
            signals: self.signals,
            class: self.class,
            table: self.table,
            head: self.head,
            catalog: self.catalog,
        };
        if let Some((from, to)) = self.embedded {
            // SQL inside PREPARE … FROM '…' is judged as well, one level deep.
            let inner = self.src.get(from..to).unwrap_or(&[]);
            analysis.signals |= embedded(inner, self.dialect, mode);
        }
        analysis.signals = crate::rules::with_compound(analysis.signals);
        analysis
    }
}

/// Signals of a text inside a text; what is embedded in it in turn is not followed.
fn embedded(sql: &[u8], dialect: Dialect, mode: SqlMode) -> u64 {
    let mut lexer = Lexer::new(sql, dialect, mode);
    let mut machine = Machine::new(sql, dialect);
    let (mut tokens, mut frames) = (Vec::new(), Vec::new());
    loop {
        let t = lexer.next_token();
        if t.kind == Kind::Eof {
            break;
        }
        if tokens.len() >= WINDOW_TOKENS {
            machine.feed(&mut tokens, &mut frames, false);
        }
        tokens.push(t);
    }
    machine.embedded = None;
    machine.feed(&mut tokens, &mut frames, true);
    std::mem::swap(&mut machine.frames, &mut frames);
    machine.finish(&lexer.marks);
    machine.signals
}

impl Machine<'_> {
    fn raise(&mut self, signal: Signal) {
        self.signals |= signal.bit();
    }

    #[inline(always)]
    fn top(&mut self) -> &mut Frame {
        if self.frames.is_empty() {
            self.frames.push(Frame::new(Opener::Top, Ctx::Top));
        }
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    fn step(&mut self, tokens: &[Tok], i: usize) {
        let t = tokens[i];
        let next = tokens.get(i + 1).copied().unwrap_or(Tok::EOF);
        if self.overflow > 0 {
            match t.kind {
                Kind::LParen => self.overflow = self.overflow.saturating_add(1),
                Kind::RParen => self.overflow -= 1,
                _ => {}
            }
            self.advance(t);
            return;
        }
        if self.fresh && t.kind != Kind::Semi {
            self.begin_statement(&t, &next);
        }
        match t.kind {
            Kind::Word => self.word(&t, &next, tokens, i),
            Kind::QuotedIdent => self.name(&t, &next),
            Kind::Number | Kind::Text => self.literal(&t, &next),
            // Two parameters are never the same value.
            Kind::Param => self.operand(Operand::named(u64::from(t.start) << 8 | 9, 0)),
            Kind::Variable => {
                if matches!(self.first, Kw::Prepare | Kw::Call)
                    && matches!(self.prev.kw, Kw::From | Kw::Immediate)
                {
                    self.raise(Signal::Dynamic);
                }
                let f = if t.kw == Kw::Version { flag::SYS | flag::CONST } else { flag::VAR };
                self.operand(Operand::named(t.hash, f));
            }
            Kind::LParen => self.open(Opener::Group, Kw::None),
            Kind::RParen => self.close(),
            Kind::LBracket => self.open_bracket(),
            Kind::RBracket => self.close_bracket(),
            Kind::Comma => self.comma(),
            Kind::Semi => self.semicolon(&next),
            Kind::Compare => self.compare(t.op),
            Kind::Logic => self.logic(if t.op == Op::And { Link::And } else { Link::Or }),
            Kind::Arith => self.arith(t.op, &next),
            Kind::Cast => self.cast(&next),
            _ => {}
        }
        self.advance(t);
    }

    fn advance(&mut self, t: Tok) {
        if self.table == 0 {
            // Literals count by kind only, as in every digest.
            let what = if t.is_literal() { 0 } else { t.hash };
            self.head = crate::digest::mix(self.head, what << 8 | t.kind as u64);
        }
        self.prev2 = self.prev;
        self.prev = t;
    }

    fn begin_statement(&mut self, t: &Tok, next: &Tok) {
        self.fresh = false;
        if self.statements == 1 {
            self.first = t.kw;
            self.second = next.kw;
            self.class = class_of(t.kw);
            if matches!(t.kw, Kw::Create | Kw::Alter | Kw::Drop) && matches!(next.kw, Kw::User) {
                self.class = StatementClass::Control;
            }
            // Anonymous blocks separate their own statements.
            if matches!(t.kw, Kw::Call) || (t.kw == Kw::Transaction && next.kw == Kw::Not) {
                self.body = true;
            }
        } else if !self.body {
            self.raise(
                if matches!(t.kw, Kw::Drop | Kw::Grant) || (t.kw == Kw::Create && next.kw == Kw::User) {
                    Signal::StackedDrop
                } else {
                    Signal::Stacked
                },
            );
        }
        let clause = match t.kw {
            Kw::Update => Clause::Target,
            _ => Clause::None,
        };
        self.top().clause = clause;
        match t.kw {
            Kw::Waitfor => self.raise(Signal::TimeDelay),
            Kw::Prepare => {}
            _ => {}
        }
    }

    /// Whether the place where we are is one that clients fill with data.
    #[inline]
    fn judged(&mut self) -> bool {
        let f = self.top();
        f.ctx().is_judged() || (f.ctx() == Ctx::Select && f.outer.is_judged())
    }
}

#[cfg(test)]
mod tests;
