//! Literals and names where they stand: columns, tables, catalogs.

use super::frame::Clause;
use super::operand::{Operand, flag};
use super::{Class, Dialect, Kind, Kw, LitClass, Machine, Signal, Tok, Val};

impl Machine<'_> {
    pub(super) fn literal(&mut self, t: &Tok, next: &Tok) {
        if t.class == LitClass::Script {
            self.raise(Signal::Script);
        }
        if t.kind == Kind::Text
            && matches!(self.first, Kw::Prepare | Kw::Call)
            && self.embedded.is_none()
            && (self.prev.kw == Kw::From || self.prev.kw == Kw::Immediate || self.prev.kw == Kw::As)
        {
            let (from, to) = ((t.hash >> 32) as usize, (t.hash & 0xFFFF_FFFF) as usize);
            self.embedded = Some((from, to));
        }
        let glued = !t.spaced && self.prev.end == t.start;
        let broken = match self.prev.kind {
            Kind::Number => t.kind == Kind::Text,
            Kind::Word => t.kind == Kind::Text && self.prev.kw == Kw::None && !self.charset_prefix(),
            _ => false,
        };
        if glued && broken && self.judged() {
            self.raise(Signal::Unbalanced);
        }
        // `date '2020-01-01'` and `'…'::date` are typed values, no loose literals.
        if self.prev.kw == Kw::TypeWord || self.prev.kw == Kw::Interval || next.kind == Kind::Cast {
            let typed = Operand { flags: flag::TYPED, hash: t.hash, val: Val::Unknown, tokens: 1 };
            return self.operand(typed);
        }
        let v = Val::of(t);
        let mut f = flag::CONST | flag::LIT;
        f |= if t.kind == Kind::Text { flag::TEXT } else { flag::NUM };
        if t.class == LitClass::Hex {
            f |= flag::HEX;
        }
        if t.class == LitClass::Wild {
            f |= flag::WILD;
        }
        if t.kind == Kind::Text && self.prev.kind == Kind::Text && self.judged() {
            let newline = self.dialect == Dialect::Postgres && t.spaced;
            if !newline {
                self.raise(Signal::LiteralOperator);
            }
        }
        self.operand(Operand { flags: f, hash: 3, val: v, tokens: 1 });
    }

    /// A name that is no keyword: column, table, alias or function.
    pub(super) fn name(&mut self, t: &Tok, next: &Tok) {
        let glued = !t.spaced && self.prev.end == t.start;
        let after = matches!(self.prev.kind, Kind::Number | Kind::Text)
            || (self.prev.kind == Kind::Word && self.prev.kw == Kw::None && self.prev2.kind != Kind::Dot);
        if glued && after && t.kind == Kind::QuotedIdent && self.judged() {
            self.raise(Signal::Unbalanced);
        }
        let system = t.kw.class() == Class::System || (t.kw == Kw::MySchema && next.kind == Kind::Dot);
        let folded = self.top().clause.reads_tables() && self.top().expect_table;
        if folded {
            if next.kind == Kind::LParen && self.top().clause == Clause::From {
                self.top().expect_table = false;
                return;
            }
            if next.kind != Kind::Dot || system {
                self.top().expect_table = next.kind == Kind::Dot && system;
                self.table_name(t, system);
            }
            return;
        }
        if system && self.prev.kind != Kind::Dot {
            self.catalog = true;
        }
        if self.prev.kind == Kind::Dot {
            return self.qualify(t.hash);
        }
        self.operand(Operand::named(t.hash, flag::NAME));
    }

    /// `_utf8'…'` names the character set of a literal.
    pub(super) fn charset_prefix(&self) -> bool {
        self.src.get(self.prev.start as usize) == Some(&b'_')
    }

    pub(super) fn table_name(&mut self, t: &Tok, system: bool) {
        if t.kw == Kw::Dual {
            return;
        }
        self.top().has_from = true;
        let raw = self.src.get(t.start as usize..t.end as usize).unwrap_or(&[]);
        let is_pg = raw.len() > 3 && raw[..3].eq_ignore_ascii_case(b"pg_");
        if !system {
            if self.prev.kind == Kind::Dot && self.prev2.kw.class() == Class::System {
                return;
            }
            if !is_pg {
                if self.table == 0 {
                    self.table = t.hash | 1;
                }
                self.user_table = true;
            }
            return;
        }
        self.catalog = true;
        self.system_tables = self.system_tables.saturating_add(1);
        let (arm, outer, nested) = {
            let nested = self.frames.len() > 1;
            let f = self.top();
            (f.arm, f.outer, nested)
        };
        if !self.user_table {
            return;
        }
        if arm > 0 || (nested && outer.is_judged()) || self.statements > 1 {
            self.raise(Signal::UnionSystem);
        }
        if self.system_tables >= 3 && nested {
            self.raise(Signal::HeavyCall);
        }
    }
}
