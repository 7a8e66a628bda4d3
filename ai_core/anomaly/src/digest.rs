//! Digest, structure id and cache key of a statement from its tokens; it judges nothing.

use crate::keywords::Kw;
use crate::lexer::{Lexer, Marks, SqlMode, Tail};
use crate::token::{Dialect, Kind, LitClass, Op, Tok};
use crate::value::{Val, compare};

/// What one lexer pass says about a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fingerprint {
    /// Stable 64-bit digest: literals, lists, comments, blanks and keyword case do not matter.
    pub digest: u64,
    /// Keyed identity of the structure, literal kinds included; what profiles remember.
    pub structure: u64,
    /// Keyed identity of all that the rules may see; statements with equal keys get equal rules.
    pub key: u64,
    pub(crate) first: Kw,
}

impl Fingerprint {
    /// Of a statement that was not read.
    pub(crate) const NONE: Self = Self { digest: 0, structure: 0, key: 0, first: Kw::None };
}

const K1: u64 = 0xA076_1D64_78BD_642F;
const K2: u64 = 0xE703_7ED1_A0B4_28DB;

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ (wide >> 64) as u64
}

#[inline(always)]
pub(crate) fn mix(h: u64, x: u64) -> u64 {
    fold(h ^ x ^ K1, h.rotate_left(29) ^ K2 ^ x.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

const LITERAL: u64 = 0x11;
const LIST: u64 = 0x12;
const TRUE_MARK: u64 = 0x13;
const FALSE_MARK: u64 = 0x14;
const COMMA: u64 = 0x15;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    Operand,
    Literal,
    LiteralList,
    Operator,
    Open,
    Comma,
    Keyword,
}

/// A stretch of the text that holds only literals and operators.
#[derive(Clone, Copy)]
struct Run {
    active: bool,
    in_condition: bool,
    negated: bool,
    literals: u8,
    operators: u8,
    depth: u32,
    hash: u64,
    left: Val,
    right: Val,
    op: Op,
}

impl Run {
    const NONE: Self = Self {
        active: false,
        in_condition: false,
        negated: false,
        literals: 0,
        operators: 0,
        depth: 0,
        hash: 0,
        left: Val::Unknown,
        right: Val::Unknown,
        op: Op::None,
    };
}

#[derive(Clone, Copy)]
struct Hashes {
    digest: u64,
    structure: u64,
}

pub(crate) struct Digester<'a> {
    src: &'a [u8],
    h: Hashes,
    seen: u64,
    last: Last,
    last_kw: Kw,
    comma: bool,
    sign: Option<Tok>,
    list_ok: bool,
    depth: u32,
    run: Run,
    rows: bool,
    row_depth: u32,
    in_row: bool,
    before_row: Hashes,
    last_row: Option<Hashes>,
    union_list: bool,
    first: Kw,
}

/// Runs the lexer over the whole text; no allocation, one pass.
#[must_use]
pub fn fingerprint(sql: &[u8], dialect: Dialect, mode: SqlMode, key: u64) -> Fingerprint {
    let mut lexer = Lexer::new(sql, dialect, mode);
    let mut d = Digester::new(sql, key);
    loop {
        let t = lexer.next_token();
        if t.kind == Kind::Eof {
            break;
        }
        d.push(&t);
    }
    d.finish(&lexer.marks)
}

impl<'a> Digester<'a> {
    pub(crate) fn new(src: &'a [u8], key: u64) -> Self {
        Self {
            src,
            h: Hashes { digest: K2, structure: mix(key, K1) },
            seen: key,
            last: Last::Start,
            last_kw: Kw::None,
            comma: false,
            sign: None,
            list_ok: false,
            depth: 0,
            run: Run::NONE,
            rows: false,
            row_depth: 0,
            in_row: false,
            before_row: Hashes { digest: 0, structure: 0 },
            last_row: None,
            union_list: false,
            first: Kw::None,
        }
    }

    pub(crate) fn finish(mut self, m: &Marks) -> Fingerprint {
        self.flush();
        self.end_run();
        let open = u64::from(m.open_literal) << 1 | u64::from(m.open_comment) << 2;
        let tail = u64::from(m.tail != Tail::None) | open;
        if tail != 0 {
            self.h.structure = mix(self.h.structure, 0x700 | tail);
        }
        let marks = tail
            | (m.tail as u64) << 3
            | u64::from(m.hollow_comments.min(3)) << 6
            | u64::from(m.odd_blanks.min(1)) << 8
            | u64::from(m.mixed_case.min(3)) << 9
            | u64::from(m.exec_comments.min(1)) << 11;
        Fingerprint {
            digest: self.h.digest,
            structure: self.h.structure,
            key: mix(self.h.structure ^ self.seen.rotate_left(17), marks),
            first: self.first,
        }
    }
}

impl Digester<'_> {
    #[inline(always)]
    fn put(&mut self, x: u64) {
        self.h.digest = mix(self.h.digest, x);
        self.h.structure = mix(self.h.structure, x);
    }

    #[inline(always)]
    fn see(&mut self, x: u64) {
        self.seen = mix(self.seen, x);
    }

    /// Hashes what was held back: a comma, a sign that is none of a literal.
    #[inline(always)]
    fn flush(&mut self) {
        if self.comma {
            self.comma = false;
            self.put(COMMA);
        }
        if let Some(sign) = self.sign.take() {
            self.put(0x40 | sign.hash << 8);
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, t: &Tok) {
        match t.kind {
            Kind::Word => self.word(t),
            Kind::Number | Kind::Text => self.literal(t, Val::Unknown),
            Kind::Comma => {
                self.flush();
                self.end_run();
                self.comma = true;
                self.begin_run(false);
                if !matches!(self.last, Last::Literal | Last::LiteralList) {
                    self.list_ok = false;
                }
                self.last = Last::Comma;
            }
            Kind::LParen => self.open(),
            Kind::RParen => self.close(),
            Kind::Arith
                if matches!(t.op, Op::Plus | Op::Minus)
                    && !matches!(self.last, Last::Operand | Last::Literal | Last::LiteralList) =>
            {
                if let Some(sign) = self.sign.replace(*t) {
                    self.put(0x40 | sign.hash << 8);
                }
            }
            Kind::Compare | Kind::Arith | Kind::Cast | Kind::Assign => self.operator(t),
            Kind::Logic => {
                self.flush();
                self.end_run();
                self.put(0x41 | t.hash << 8);
                self.begin_run(true);
                self.last = Last::Operator;
                self.list_ok = false;
            }
            Kind::Semi => {
                self.flush();
                self.end_run();
                self.put(0x42);
                self.rows = false;
                self.last_row = None;
                self.last = Last::Start;
                self.list_ok = false;
                self.begin_run(false);
            }
            Kind::LBracket => {
                self.flush();
                self.put(0x43);
                self.list_ok = true;
                self.last = Last::Open;
            }
            _ => {
                self.flush();
                self.put(t.hash << 8 | 0x50 | t.kind as u64);
                self.run.active = false;
                self.list_ok = false;
                self.last =
                    if t.kind == Kind::Dot || t.kind == Kind::Other { Last::Operator } else { Last::Operand };
                self.last_kw = Kw::None;
            }
        }
    }

    #[inline]
    fn word(&mut self, t: &Tok) {
        match t.kw {
            Kw::Null | Kw::True | Kw::False | Kw::Default
                if self.in_row || (self.run.active && self.run.in_condition) =>
            {
                let v = match t.kw {
                    Kw::True => Val::Num(1.0),
                    Kw::False => Val::Num(0.0),
                    _ => Val::Null,
                };
                return self.literal(t, v);
            }
            _ => {}
        }
        self.flush();
        self.list_ok = false;
        if self.last == Last::Start && self.depth == 0 && self.first == Kw::None {
            self.first = t.kw;
        }
        self.put(t.hash << 8 | 0x60);
        if !t.kw.is_reserved() {
            self.run.active = false;
            self.last = Last::Operand;
            self.last_kw = t.kw;
            return;
        }
        self.last_kw = t.kw;
        self.last = Last::Keyword;
        match t.kw {
            Kw::And | Kw::Or | Kw::Xor | Kw::Where | Kw::Having | Kw::On => {
                self.end_run();
                self.begin_run(true);
                self.rows = false;
            }
            Kw::Not => {
                if self.run.active && self.run.literals == 0 {
                    self.run.negated = !self.run.negated;
                    self.run.hash = mix(self.run.hash, 3);
                }
            }
            Kw::Like | Kw::Is | Kw::Between | Kw::In | Kw::Div => self.run_operator(t.hash, Op::Unknown),
            Kw::Values => {
                self.end_run();
                self.run.active = false;
                self.rows = true;
                self.row_depth = self.depth + 1;
                self.last_row = None;
            }
            Kw::Union => {
                self.end_run();
                self.union_list = true;
            }
            Kw::From | Kw::Into => {
                self.end_run();
                self.union_list = false;
                self.run.active = false;
            }
            Kw::Null | Kw::True | Kw::False | Kw::Default => self.last = Last::Operand,
            Kw::End => {
                self.run.active = false;
                self.last = Last::Operand;
            }
            _ => {
                self.end_run();
                self.begin_run(false);
            }
        }
    }

    #[inline]
    fn literal(&mut self, t: &Tok, known: Val) {
        let negative = self.sign.take().is_some_and(|s| s.op == Op::Minus);
        let collapse = self.comma && self.list_ok && !self.run_is_needed();
        if collapse {
            self.comma = false;
            if self.last_list() {
                self.put(LIST);
                self.list_plus();
            }
        } else {
            self.flush();
            self.put(LITERAL);
            let single = self.list_ok && self.last == Last::Open && self.last_kw == Kw::In;
            if single {
                self.put(LIST);
            }
            if !self.in_row && self.last_kw != Kw::In {
                let kind = if t.kind == Kind::Word { Kind::Other } else { t.kind };
                let hex = u64::from(t.class == LitClass::Hex) << 8;
                self.h.structure = mix(self.h.structure, kind as u64 | hex);
            }
        }
        if matches!(t.class, LitClass::Script | LitClass::Hex)
            || (t.class == LitClass::Wild && self.last_kw == Kw::Like)
        {
            self.see(0x80 | t.class as u64);
        }
        if t.kind == Kind::Number && !self.in_row {
            if t.num >= 100_000.0 {
                self.see(0x90 | (t.num.log10() as u64) << 8);
            }
            if self.union_list || self.last_kw == Kw::By {
                self.see(0x91 | (t.num.min(65_535.0) as u64) << 8);
            }
        }
        if self.run.active {
            let v = if known == Val::Unknown { Val::of(t) } else { known };
            let v = if negative { v.negate(self.src) } else { v };
            self.run.literals = self.run.literals.saturating_add(1);
            if self.run.operators == 0 {
                // Its content counts only if an operator or a connective follows.
                self.run.left = v;
            } else {
                self.run.right = v;
                self.run.hash = mix(self.run.hash, v.bits(self.src));
            }
        }
        self.last = if collapse { Last::LiteralList } else { Last::Literal };
    }

    #[inline(always)]
    fn run_is_needed(&self) -> bool {
        self.run.active && self.run.operators > 0
    }

    /// Whether this collapse is the first of its list.
    #[inline(always)]
    fn last_list(&self) -> bool {
        self.list_ok && self.last_kw != Kw::In && self.last_kw != Kw::Default
    }

    /// Marks the list as marked, so that its length does not matter.
    #[inline(always)]
    fn list_plus(&mut self) {
        self.last_kw = Kw::Default;
    }

    #[inline]
    fn operator(&mut self, t: &Tok) {
        self.flush();
        self.put(t.hash << 8 | 0x44);
        self.run_operator(t.hash, if t.kind == Kind::Compare { t.op } else { Op::Unknown });
        self.list_ok = false;
        self.last = Last::Operator;
        self.last_kw = Kw::None;
    }

    #[inline(always)]
    fn run_operator(&mut self, hash: u64, op: Op) {
        if self.run.active {
            if self.run.operators == 0 && self.run.literals > 0 {
                self.run.hash = mix(self.run.hash, self.run.left.bits(self.src));
            }
            self.run.operators = self.run.operators.saturating_add(1);
            self.run.hash = mix(self.run.hash, hash);
            self.run.op = if self.run.operators == 1 { op } else { Op::Unknown };
        }
    }

    #[inline]
    fn open(&mut self) {
        if self.rows && self.depth + 1 == self.row_depth {
            self.comma = false;
            self.begin_row();
        } else {
            self.flush();
            self.put(0x45);
        }
        self.depth = self.depth.saturating_add(1);
        let call = self.last == Last::Operand;
        self.list_ok = self.in_row || self.last_kw == Kw::In || (call && self.last_kw == Kw::Char);
        if call || !self.run.active {
            self.end_run();
            self.begin_run(false);
            self.run.active = !self.in_row || self.depth > self.row_depth;
        } else {
            self.run.hash = mix(self.run.hash, 5);
        }
        self.last = Last::Open;
    }

    #[inline]
    fn close(&mut self) {
        self.flush();
        self.depth = self.depth.saturating_sub(1);
        if self.run.active {
            if self.depth < self.run.depth {
                self.end_run();
                self.run.active = false;
            } else {
                self.run.hash = mix(self.run.hash, 6);
            }
        }
        if self.in_row && self.depth + 1 == self.row_depth {
            self.end_row();
        } else {
            self.put(0x46);
        }
        self.list_ok = false;
        self.last_kw = Kw::None;
        self.last = Last::Operand;
    }

    fn begin_row(&mut self) {
        self.before_row = self.h;
        self.h = Hashes { digest: 0x55, structure: 0x55 };
        self.in_row = true;
    }

    fn end_row(&mut self) {
        self.in_row = false;
        let row = self.h;
        let same = self.last_row.is_some_and(|r| r.digest == row.digest && r.structure == row.structure);
        self.h = self.before_row;
        if !same {
            self.h.digest = mix(self.h.digest, row.digest);
            self.h.structure = mix(self.h.structure, row.structure);
            self.last_row = Some(row);
        }
    }

    #[inline(always)]
    fn begin_run(&mut self, in_condition: bool) {
        self.run.active = true;
        self.run.in_condition = in_condition;
        self.run.negated = false;
        self.run.literals = 0;
        self.run.operators = 0;
        self.run.depth = self.depth;
        self.run.hash = 7;
        self.run.op = Op::None;
    }

    /// Closes a constant stretch: its value counts where it can decide a condition.
    #[inline(always)]
    fn end_run(&mut self) {
        let run = self.run;
        if !run.active || run.literals == 0 || (run.operators == 0 && !run.in_condition) {
            return;
        }
        self.close_run(run);
    }

    fn close_run(&mut self, run: Run) {
        self.see(if run.operators == 0 { mix(run.hash, run.left.bits(self.src)) } else { run.hash });
        let truth = match (run.literals, run.operators) {
            (1, 0) => run.left.truth(self.src),
            (2, 1) => compare(run.op, run.left, run.right, self.src),
            _ => None,
        };
        if let Some(truth) = truth {
            self.put(if truth != run.negated { TRUE_MARK } else { FALSE_MARK });
        }
        self.run.active = false;
    }
}

#[cfg(test)]
mod tests;
