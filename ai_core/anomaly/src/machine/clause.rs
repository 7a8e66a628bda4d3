//! Keywords, brackets and query levels: which clause an expression belongs to, what an arm returns.

use super::frame::{Clause, Ctx, Frame, Opener};
use super::operand::{Operand, flag};
use super::term::{Link, Term};
use super::{FRAMES_MAX, Kw, Machine, Signal};
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
                self.raise(if rows && (judged || !plain) { Signal::FileAccess } else { Signal::FileStatement });
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
            Kw::Group => self.clause(Clause::GroupBy),
            Kw::Order => self.clause(Clause::OrderBy),
            Kw::Limit | Kw::Offset | Kw::Fetch => self.clause(Clause::Limit),
            Kw::Set => self.set(),
            Kw::Values => self.values(next),
            Kw::Returning => self.clause(Clause::Other),
            Kw::Union | Kw::Intersect | Kw::Except => self.union(t.kw, next),
            Kw::And => self.logic(Link::And),
            Kw::Or if self.prev.kw == Kw::Create || self.prev.kw == Kw::Insert || self.prev.kw == Kw::Update => {}
            Kw::Or | Kw::Xor => self.logic(Link::Or),
            Kw::Not => {
                let term = &mut self.top().term;
                term.nots = term.nots.saturating_add(1);
            }
            Kw::Like => {
                if next.kind == Kind::LParen && self.prev.kind != Kind::Word && self.top().term.side().operands == 0 {
                    return self.call(t);
                }
                self.compare(Op::Unknown);
                self.top().term.like = true;
            }
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

    fn begin_select(&mut self) {
        if self.top().opener == Opener::Case {
            return;
        }
        self.end_term(Link::None);
        let f = self.top();
        f.is_query = true;
        f.clause = Clause::Select;
        f.items = 0;
        f.star = false;
        f.pads = 0;
        f.sequence = 0;
        f.const_items = 0;
        f.odd_items = 0;
        f.has_from = false;
        f.terms = 0;
        f.link = Link::None;
        f.flags = 0;
        f.all_const = true;
        f.linked = false;
        f.hash = 0;
    }

    fn from(&mut self) {
        let f = self.top();
        if f.opener == Opener::Call && !f.is_query {
            return self.comma_in_call();
        }
        if self.prev.kw == Kw::Distinct && matches!(self.prev2.kw, Kw::Is | Kw::Not) {
            return;
        }
        self.end_item();
        self.expect(Clause::From);
    }

    fn expect(&mut self, clause: Clause) {
        self.end_term(Link::None);
        let f = self.top();
        f.clause = clause;
        f.expect_table = true;
        f.term = Term::new();
    }

    fn into(&mut self, next: &Tok) {
        if next.kind == Kind::Variable || next.kw == Kw::Outfile {
            return;
        }
        if self.top().is_query && self.top().clause == Clause::Select {
            self.end_item();
        }
        self.expect(Clause::Target);
    }

    fn on(&mut self, next: &Tok) {
        if matches!(next.kw, Kw::Update | Kw::Delete) || self.class == super::StatementClass::Definition {
            return;
        }
        self.clause(Clause::On);
    }

    fn set(&mut self) {
        self.end_term(Link::None);
        if self.class == super::StatementClass::Write {
            self.clause(Clause::Set);
        }
    }

    fn values(&mut self, next: &Tok) {
        if next.kind != Kind::LParen || self.top().clause == Clause::Set {
            return;
        }
        self.end_term(Link::None);
        let f = self.top();
        f.clause = Clause::Values;
        f.is_query = true;
        f.term = Term::new();
    }

    fn clause(&mut self, clause: Clause) {
        let f = self.top();
        if matches!(f.opener, Opener::Call | Opener::Plain) && !f.is_query {
            // ORDER BY and the like inside aggregates and windows.
            f.clause = Clause::Other;
            return self.comma_in_call();
        }
        if f.opener == Opener::Case {
            return;
        }
        let selecting = f.clause == Clause::Select;
        let repeated = clause == Clause::Where && f.clause.is_predicate() && f.clause != Clause::On;
        let ordered = f.clause == Clause::OrderBy;
        if selecting {
            self.end_item();
        }
        if ordered {
            self.end_order_item();
        }
        self.end_term(Link::None);
        if repeated {
            self.raise(Signal::Unbalanced);
        }
        let f = self.top();
        f.clause = clause;
        f.expect_table = false;
        f.terms = 0;
        f.link = Link::None;
        f.term = Term::new();
        f.is_query |= f.opener == Opener::Top;
    }

    fn union(&mut self, kw: Kw, next: &Tok) {
        let f = self.top();
        let place = !f.is_query && matches!(f.opener, Opener::In | Opener::Row)
            || matches!(f.clause, Clause::OrderBy | Clause::Limit) && self.prev.kind != Kind::RParen;
        let selects = matches!(next.kw, Kw::Select | Kw::All | Kw::Distinct) || next.kind == Kind::LParen;
        if place && selects && kw == Kw::Union {
            self.raise(Signal::UnionPlace);
        }
        if self.top().clause == Clause::OrderBy {
            self.end_order_item();
        }
        self.end_term(Link::None);
        self.end_arm();
        let f = self.top();
        f.arm = f.arm.saturating_add(1);
        f.clause = Clause::None;
        f.is_query = true;
    }

    /// Ends one element of a select list.
    pub(super) fn end_item(&mut self) {
        let f = self.top();
        if f.clause != Clause::Select {
            return;
        }
        let term = f.term;
        let side = term.sides[0];
        if side.operands == 0 && term.compares == 0 {
            if f.star {
                f.items = f.items.saturating_add(1);
            }
            return self.end_term(Link::None);
        }
        f.items = f.items.saturating_add(1);
        let plain = term.compares == 0 && side.operands == 1;
        let number = plain && side.first & flag::NUM != 0;
        if plain && (number || side.first & flag::NULL != 0) {
            f.pads = f.pads.saturating_add(1);
        }
        if number && side.val == Val::Num(f64::from(f.items)) {
            f.sequence = f.sequence.saturating_add(1);
        }
        let telling = flag::SYS | flag::SYS_NAME | flag::ENCODED | flag::HEX;
        if side.is_const() || side.flags & flag::SYS_NAME != 0 {
            f.const_items = f.const_items.saturating_add(1);
        }
        if side.flags & telling != 0 || (side.flags & flag::CONCAT != 0 && side.flags & flag::NAME != 0) {
            f.odd_items = f.odd_items.saturating_add(1);
        }
        self.end_term(Link::None);
    }

    /// Judges a finished UNION arm against the first.
    pub(super) fn end_arm(&mut self) {
        self.end_item();
        let f = *self.top();
        if f.arm == 0 {
            let g = self.top();
            g.first_items = f.items;
            g.first_from = f.has_from;
            g.first_star = f.star;
            return;
        }
        if f.items == 0 && !f.star {
            return;
        }
        let uneven = f.first_items > 0 && !f.star && !f.first_star && f.items != f.first_items;
        if uneven {
            self.raise(Signal::UnionArity);
        }
        if !f.first_from {
            return;
        }
        if !f.has_from && f.const_items == f.items && f.items > 0 {
            self.raise(Signal::UnionProbe);
        } else if f.sequence >= 2 && f.pads > 1 || (f.pads > 0 && f.odd_items > 0) {
            self.raise(Signal::UnionProbe);
        } else if f.sequence >= 1 && f.pads > 0 || f.pads >= 2 {
            self.raise(Signal::UnionPadding);
        }
        if f.odd_items > 0 && (f.flags & (flag::SYS | flag::ENCODED | flag::HEX) != 0 || !f.has_from) {
            self.raise(Signal::UnionProbe);
        }
    }

    pub(super) fn end_order_item(&mut self) {
        let f = *self.top();
        if f.opener != Opener::Top && !f.is_query {
            return;
        }
        let side = f.term.sides[0];
        if f.term.compares > 0 || side.operands == 0 {
            return;
        }
        let lone = side.operands == 1;
        let known = f.items > 0 && !f.star && f.arm == 0;
        let odd = if lone && side.first & flag::NUM != 0 {
            let n = side.val.number().unwrap_or(0.0);
            n < 0.0 || n != n.trunc() || (known && n > f64::from(f.items)) || n > 4096.0
        } else if lone && side.first & flag::TEXT != 0 {
            true
        } else if side.is_const() {
            side.flags & (flag::CALL | flag::NULL | flag::NOW | flag::RAND) == 0
        } else {
            lone && side.first & (flag::SUB | flag::VAR) != 0
        };
        if odd && self.frames.len() == 1 {
            self.raise(Signal::OrderProbe);
        }
    }

    /// Ends what a query level still holds.
    pub(super) fn end_query(&mut self) {
        match self.top().clause {
            Clause::OrderBy => {
                self.end_order_item();
                self.end_term(Link::None);
            }
            Clause::Select => self.end_item(),
            _ => self.end_term(Link::None),
        }
        if self.top().is_query {
            self.end_arm();
        }
    }

    pub(super) fn comma(&mut self) {
        let f = self.top();
        match f.clause {
            Clause::Select if f.is_query => self.end_item(),
            Clause::OrderBy => {
                self.end_order_item();
                self.end_term(Link::None);
            }
            Clause::From | Clause::On if f.is_query => self.expect(Clause::From),
            _ if f.opener == Opener::Call => self.comma_in_call(),
            _ => {
                self.end_term(Link::None);
                let f = self.top();
                f.link = Link::None;
                f.args = f.args.saturating_add(1);
            }
        }
    }

    fn comma_in_call(&mut self) {
        self.end_term(Link::None);
        let f = self.top();
        f.args = f.args.saturating_add(1);
        f.link = Link::None;
    }

    fn open_case(&mut self) {
        let ctx = self.expression_ctx();
        self.push(Frame::new(Opener::Case, ctx));
    }

    fn case_part(&mut self, clause: Clause) {
        if self.top().opener == Opener::Case {
            self.end_term(Link::None);
            let f = self.top();
            f.clause = clause;
            f.link = Link::None;
        }
    }

    fn end_case(&mut self) {
        if self.top().opener == Opener::Case {
            self.pop_frame();
        }
    }

    /// Where an expression that opens now will stand.
    fn expression_ctx(&mut self) -> Ctx {
        let f = self.top();
        if f.ctx() == Ctx::Select && f.outer.is_judged() { f.outer } else { f.ctx() }
    }

    pub(super) fn open(&mut self, default: Opener, _kw: Kw) {
        let ctx = self.expression_ctx();
        let prev = self.prev;
        let f = self.top();
        let call = std::mem::replace(&mut f.pending, Kw::None);
        let call_hash = std::mem::replace(&mut f.pending_hash, 0);
        let opener = if prev.kw == Kw::In {
            Opener::In
        } else if call == Kw::Exists {
            Opener::Exists
        } else if call == Kw::Over || prev.kw == Kw::Using || prev.kw == Kw::Over {
            Opener::Plain
        } else if call_hash != 0 {
            Opener::Call
        } else if f.clause == Clause::Values && f.is_query {
            Opener::Row
        } else if f.clause == Clause::Target && prev.is_name() {
            Opener::Plain
        } else {
            default
        };
        let leading = f.terms == 0
            && f.link == Link::None
            && f.term.side().operands == 0
            && (f.clause.is_predicate() || f.leading);
        let under_or = f.link == Link::Or || (f.under_or && opener == Opener::Group);
        f.expect_table &= opener == Opener::Group;
        let armed = (f.arm > 0 && f.clause == Clause::None).then_some((f.arm, f.first_items, f.first_from, f.first_star));
        let mut frame = Frame::new(opener, ctx);
        if let Some((arm, items, from, star)) = armed.filter(|_| opener == Opener::Group) {
            (frame.arm, frame.first_items, frame.first_from, frame.first_star) = (arm, items, from, star);
            frame.outer = Ctx::From;
        }
        frame.call = Kw::None;
        frame.call_hash = call_hash;
        frame.leading = leading && opener == Opener::Group;
        frame.under_or = under_or && opener == Opener::Group;
        if opener == Opener::Call {
            frame.call = call;
        }
        if ctx == Ctx::From && self.top().expect_table {
            self.top().expect_table = false;
            self.top().has_from = true;
        }
        self.push(frame);
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() >= FRAMES_MAX {
            if frame.opener != Opener::Case {
                self.overflow = 1;
            }
            return;
        }
        self.frames.push(frame);
    }

    pub(super) fn close(&mut self) {
        // A CASE without END ends with its bracket.
        while self.frames.len() > 1 && self.top().opener == Opener::Case {
            self.pop_frame();
        }
        if self.frames.len() > 1 {
            self.pop_frame();
        } else if self.top().opener == Opener::Top {
            self.extra_close = true;
        }
    }

    /// Ends the top frame and hands its value to the frame below.
    pub(super) fn pop_frame(&mut self) {
        self.end_query();
        let Some(f) = self.frames.pop() else { return };
        let result = self.result_of(&f);
        if f.outer == Ctx::From && (f.is_query || f.opener == Opener::Group) {
            // A derived table is no operand of an expression.
            self.top().flags |= f.flags & flag::STICKY;
            return;
        }
        if f.opener != Opener::Plain {
            self.operand(result);
        }
    }

    fn result_of(&mut self, f: &Frame) -> Operand {
        let sticky = f.flags & flag::STICKY;
        if f.is_query {
            return self.subquery(f, sticky);
        }
        let last = f.last.unwrap_or(Operand::named(0, flag::CONST));
        match f.opener {
            Opener::Group if f.args == 0 && !f.linked => last,
            Opener::Call => self.call_result(f, sticky, &last),
            Opener::Case => {
                let mut o = Operand::named(f.hash, sticky | flag::CALL);
                o.tokens = f.operands;
                o
            }
            Opener::In | Opener::Row => {
                let fixed = if f.all_const && f.operands > 0 { flag::CONST } else { 0 };
                Operand::named(f.hash, sticky | fixed)
            }
            _ => Operand::named(f.hash, sticky | flag::NAME),
        }
    }

    fn subquery(&mut self, f: &Frame, sticky: u32) -> Operand {
        let over_nothing = !f.has_from && f.items > 0 && f.flags & (flag::NAME | flag::NOW) == 0;
        let direct = if f.opener == Opener::Group { flag::DIRECT_SUB } else { 0 };
        let mut flags = (sticky & !flag::NAME) | flag::SUB | direct;
        if over_nothing {
            flags |= flag::CONST_SUB;
            let values = matches!(f.outer, Ctx::Predicate | Ctx::Order | Ctx::Limit | Ctx::List)
                || (f.outer == Ctx::Values && f.flags & (flag::SYS | flag::SYS_NAME | flag::VAR) != 0);
            if values && f.opener != Opener::Exists && f.arm == 0 {
                self.raise(Signal::ConstSubquery);
            }
        }
        Operand::named(f.hash ^ u64::from(f.items), flags)
    }

    fn call_result(&mut self, f: &Frame, sticky: u32, last: &Operand) -> Operand {
        let judged = self.judged();
        let arm = self.top().arm > 0 || self.statements > 1;
        let mut flags = sticky | flag::CALL;
        let reads = flag::SUB | flag::SYS | flag::SYS_NAME;
        let built = flag::CONCAT | flag::ENCODED | flag::HEX;
        let args = if f.operands == 0 { 0 } else { f.args + 1 };
        match f.call {
            Kw::Version => flags |= flag::SYS,
            Kw::User | Kw::Database => flags |= flag::SYS_NAME,
            Kw::Substr | Kw::Left | Kw::Right => flags |= flag::SUBSTR,
            Kw::Ord => flags |= flag::ORD,
            Kw::Length => flags |= flag::LENGTH,
            Kw::Now | Kw::TypeWord => flags |= flag::NOW,
            Kw::Rand if args > 0 => flags |= flag::RAND,
            Kw::Concat => {
                flags |= flag::CONCAT;
                if f.flags & flag::RAND != 0 {
                    self.raise(Signal::ErrorBased);
                }
                if f.flags & flag::HEX != 0 && (judged || arm) {
                    self.encoded = self.encoded.saturating_add(2);
                }
            }
            Kw::Char if f.all_const && args > 0 => {
                flags |= flag::ENCODED;
                if judged || arm {
                    self.encoded = self.encoded.saturating_add(if args > 1 { 2 } else { 1 });
                }
            }
            Kw::XmlError if f.flags & (reads | built) != 0 => self.raise(Signal::ErrorBased),
            Kw::ValueError if f.flags & (reads | flag::CONCAT) != 0 && (judged || arm) => {
                self.raise(Signal::ErrorBased);
            }
            Kw::JsonError if f.flags & (flag::ENCODED | flag::SYS | flag::CONST_SUB) != 0 && judged => {
                self.raise(Signal::ErrorBased);
            }
            Kw::CatalogDump if f.flags & flag::TEXT != 0 && judged => self.raise(Signal::ErrorBased),
            Kw::Cast if judged && f.flags & (flag::SYS | flag::SYS_NAME) != 0 => self.raise(Signal::ErrorCast),
            Kw::Cast if judged && f.flags & flag::SUB != 0 && f.flags & built != 0 => {
                self.raise(Signal::ErrorBased);
            }
            Kw::Repeat if judged && self.top().ctx() == Ctx::Predicate && last.val.number().unwrap_or(0.0) >= 1e6 => {
                self.raise(Signal::HeavyCall);
            }
            Kw::Heavy => {
                let n = last.val.number().unwrap_or(0.0);
                if n >= 1e7 || (n >= 1e5 && self.frames.iter().any(|g| g.outer.is_judged() || g.ctx().is_judged())) {
                    self.raise(Signal::HeavyCall);
                }
            }
            _ => {}
        }
        let column = f.flags & (flag::NAME | flag::SUB | flag::NOW) != 0 || flags & flag::NOW != 0;
        if f.all_const && !column && !matches!(f.call, Kw::Pure | Kw::TypeWord) {
            flags |= flag::CONST;
        }
        flags |= f.flags & flag::TEXT;
        let mut o = Operand::named(crate::digest::mix(f.hash, f.call_hash), flags & !flag::LIT & !flag::TEXT);
        o.tokens = f.operands.saturating_add(2);
        o
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
