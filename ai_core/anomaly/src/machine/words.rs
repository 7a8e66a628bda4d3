//! What each word does where it stands; the clauses and brackets themselves live beside it.

use super::frame::{Clause, Ctx, Opener};
use super::operand::{Operand, flag};
use super::term::Link;
use super::{Kw, Machine, Signal};
use crate::keywords::Class;
use crate::token::{Kind, Op, Tok};
use crate::value::Val;

impl Machine<'_> {
    pub(super) fn word(&mut self, t: &Tok, next: &Tok, tokens: &[Tok], i: usize) {
        // A word behind a dot is a name whatever it spells.
        if self.prev.kind == Kind::Dot {
            return self.after_dot(t, next);
        }
        match t.kw.class() {
            Class::Reserved => self.reserved(t, next),
            Class::Verb => self.verb(t, next),
            Class::Function if next.kind == Kind::LParen || is_bare_function(t.kw) => self.function(t, next),
            Class::System => self.name(t, next),
            _ => self.plain(t, next, tokens, i),
        }
    }

    fn after_dot(&mut self, t: &Tok, next: &Tok) {
        if self.prev2.kw == Kw::MySchema && matches!(t.kw, Kw::User | Kw::MyTable) {
            let f = self.top();
            if f.clause.reads_tables() {
                f.expect_table = false;
                return self.table_name(t, true);
            }
        }
        if next.kind == Kind::LParen && t.kw.class() == Class::Function {
            return self.function(t, next);
        }
        self.name(t, next);
    }

    fn plain(&mut self, t: &Tok, next: &Tok, tokens: &[Tok], i: usize) {
        match t.kw {
            Kw::Interval if next.kind != Kind::Compare => {
                return self.operand(Operand::named(t.hash, flag::TYPED));
            }
            Kw::TypeWord if next.kind == Kind::Text || next.kind == Kind::LParen => {
                if next.kind == Kind::LParen {
                    self.call(t);
                }
                return;
            }
            Kw::Outfile if self.prev.kw == Kw::Into => {
                // A plain export is a matter of rights; one behind a condition is an injection's sink.
                let plain = matches!(self.top().clause, Clause::From | Clause::Select);
                return self.raise(if plain { Signal::FileExport } else { Signal::FileAccess });
            }
            Kw::Program if self.first == Kw::Copy => return self.raise(Signal::FileAccess),
            Kw::Routine if matches!(self.first, Kw::Create | Kw::Alter) => {
                self.body = true;
                return;
            }
            Kw::Analyse if self.top().clause == Clause::Limit || self.prev.kw == Kw::Routine => {
                return self.raise(Signal::ErrorBased);
            }
            Kw::Over => {
                if next.kind == Kind::LParen {
                    self.call(t);
                    self.top().pending = Kw::Over;
                }
                return;
            }
            Kw::Binary => return,
            Kw::Escape => return,
            Kw::For if self.top().opener == Opener::Call => return self.comma_in_call(),
            _ => {}
        }
        let ahead = tokens.get(i + 1).map_or(Kind::Eof, |n| n.kind);
        if ahead == Kind::LParen && !(self.top().clause.reads_tables() && self.top().expect_table) {
            return self.call(t);
        }
        self.name(t, next);
    }

    /// Remembers the function whose bracket follows.
    fn call(&mut self, t: &Tok) {
        let f = self.top();
        f.pending = t.kw;
        f.pending_hash = t.hash | 1;
    }

    fn function(&mut self, t: &Tok, next: &Tok) {
        let calls = next.kind == Kind::LParen;
        let ctx = self.top().ctx();
        match t.kw {
            Kw::Sleep if calls => {
                let plain = self.frames.len() == 1 && ctx == Ctx::Select && self.top().arm == 0;
                self.raise(if plain { Signal::TimeSelect } else { Signal::TimeDelay });
            }
            Kw::FileRead if calls => {
                let rows = matches!(self.class, super::StatementClass::Read | super::StatementClass::Write);
                let plain = self.frames.len() == 1 && self.top().arm == 0 && self.statements == 1;
                let judged = self.judged();
                self.raise(if rows && (judged || !plain) {
                    Signal::FileAccess
                } else {
                    Signal::FileStatement
                });
            }
            _ => {}
        }
        if calls {
            return self.call(t);
        }
        let f = match t.kw {
            Kw::Now => flag::NOW,
            Kw::User | Kw::Database => flag::SYS_NAME | flag::CONST,
            _ => flag::NAME,
        };
        if matches!(t.kw, Kw::User | Kw::Database) && !is_bare_system_name(t.kw, self, t) {
            return self.name(t, next);
        }
        self.operand(Operand::named(t.hash, f));
    }

    fn verb(&mut self, t: &Tok, next: &Tok) {
        match t.kw {
            Kw::Insert if next.kind == Kind::LParen => return self.call(t),
            Kw::Insert | Kw::Delete | Kw::Merge if self.prev.kind == Kind::Eof || self.starts() => return,
            Kw::Update if self.starts() => {
                self.top().clause = Clause::Target;
                self.top().expect_table = true;
                return;
            }
            Kw::Update if self.prev.kw == Kw::Values || self.prev.hash == t.hash => return,
            Kw::Load if self.prev.kind == Kind::Eof => return self.raise(Signal::FileStatement),
            Kw::Waitfor if self.statements > 1 => return self.raise(Signal::TimeDelay),
            _ => {}
        }
        if self.starts() {
            return;
        }
        if next.kind == Kind::LParen { self.call(t) } else { self.name(t, next) }
    }

    /// At the first word of a statement or of a bracketed one.
    fn starts(&self) -> bool {
        matches!(self.prev.kind, Kind::Eof | Kind::Semi | Kind::LParen)
            || matches!(self.prev.kw, Kw::Explain | Kw::With)
            || self.prev.kind == Kind::RParen && self.first == Kw::With
    }

    fn reserved(&mut self, t: &Tok, next: &Tok) {
        match t.kw {
            Kw::Select => self.begin_select(),
            Kw::From => self.from(),
            Kw::Join => self.expect(Clause::From),
            Kw::Into => self.into(next),
            Kw::Where => self.clause(Clause::Where),
            Kw::Having => self.clause(Clause::Having),
            Kw::On => self.on(next),
            // WITHIN GROUP (ORDER BY …).
            Kw::Group if self.prev.kw == Kw::Over => self.top().pending = Kw::Over,
            Kw::Group => self.clause(Clause::GroupBy),
            Kw::Order => self.clause(Clause::OrderBy),
            Kw::Limit | Kw::Offset | Kw::Fetch => self.clause(Clause::Limit),
            Kw::Set => self.set(),
            Kw::Values => self.values(next),
            Kw::Returning => self.clause(Clause::Other),
            Kw::Union | Kw::Intersect | Kw::Except => self.union(t.kw, next),
            Kw::And => self.logic(Link::And),
            Kw::Or
                if self.prev.kw == Kw::Create || self.prev.kw == Kw::Insert || self.prev.kw == Kw::Update => {
            }
            Kw::Or | Kw::Xor => self.logic(Link::Or),
            Kw::Not => {
                let term = &mut self.top().term;
                term.nots = term.nots.saturating_add(1);
            }
            Kw::Like => {
                if next.kind == Kind::LParen && self.top().term.side().operands == 0 {
                    return self.call(t);
                }
                self.compare(Op::Unknown);
                self.top().term.like = true;
            }
            // LOCK IN SHARE MODE.
            Kw::In if self.prev.kw == Kw::Transaction => {}
            Kw::In => {
                self.compare(Op::Unknown);
                self.top().term.member = true;
            }
            Kw::Is => {
                self.compare(Op::Unknown);
                self.top().term.is = true;
            }
            Kw::Between => {
                self.compare(Op::Unknown);
                self.top().term.between = true;
            }
            Kw::Div => self.arith(Op::Unknown, next),
            Kw::Null => self.constant(flag::NULL, Val::Null, t),
            Kw::True => self.constant(flag::LIT | flag::BOOL, Val::Num(1.0), t),
            Kw::False => self.constant(flag::LIT | flag::BOOL, Val::Num(0.0), t),
            Kw::Case => self.open_case(),
            Kw::When => self.case_part(Clause::When),
            Kw::Then | Kw::Else => self.case_part(Clause::Then),
            Kw::End => self.end_case(),
            Kw::Exists => self.top().pending = Kw::Exists,
            Kw::Any | Kw::All if next.kind == Kind::LParen => self.top().pending = Kw::Exists,
            Kw::Left | Kw::Right if next.kind == Kind::LParen => {
                self.call(t);
            }
            _ => {}
        }
    }

    fn constant(&mut self, f: u32, val: Val, t: &Tok) {
        self.operand(Operand { flags: f | flag::CONST, hash: t.hash, val, tokens: 1 });
    }
}

fn is_bare_function(kw: Kw) -> bool {
    matches!(kw, Kw::User | Kw::Database | Kw::Now)
}

/// `current_user`, `current_schema` and kin stand without brackets; `user` and `database` are columns then.
fn is_bare_system_name(kw: Kw, m: &Machine<'_>, t: &Tok) -> bool {
    let word = m.src.get(t.start as usize..t.end as usize).unwrap_or(&[]);
    matches!(kw, Kw::User | Kw::Database)
        && (word.len() > 8 && (word[0] | 0x20 == b'c' || word.contains(&b'_')))
}
