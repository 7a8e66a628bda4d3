//! Brackets, CASE and calls: opening them, closing them, and the value that they leave behind.

use super::frame::{Clause, Ctx, Frame, Opener};
use super::operand::{Operand, flag};
use super::term::Link;
use super::{FRAMES_MAX, Kw, Machine, Signal};

impl Machine<'_> {
    pub(super) fn open_case(&mut self) {
        let ctx = self.expression_ctx();
        self.push(Frame::new(Opener::Case, ctx));
    }

    pub(super) fn case_part(&mut self, clause: Clause) {
        if self.top().opener == Opener::Case {
            self.end_term(Link::None);
            let f = self.top();
            f.clause = clause;
            f.link = Link::None;
        }
    }

    pub(super) fn end_case(&mut self) {
        if self.top().opener == Opener::Case {
            self.pop_frame();
        }
    }

    /// Where an expression that opens now will stand.
    pub(super) fn expression_ctx(&mut self) -> Ctx {
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
        let leading = f.constant_so_far
            && f.link != Link::Or
            && f.term.side().operands == 0
            && (f.clause.is_predicate() || f.leading);
        let under_or = f.link == Link::Or || (f.under_or && opener == Opener::Group);
        f.expect_table &= opener == Opener::Group;
        let armed = (f.arm > 0 && f.clause == Clause::None).then_some((
            f.arm,
            f.first_items,
            f.first_from,
            f.first_star,
        ));
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

    pub(super) fn push(&mut self, frame: Frame) {
        if self.frames.len() >= FRAMES_MAX {
            if !matches!(frame.opener, Opener::Case | Opener::Bracket) {
                self.overflow = 1;
            }
            return;
        }
        self.frames.push(frame);
    }

    /// `[`: what stands inside is no term of the condition around it.
    pub(super) fn open_bracket(&mut self) {
        let ctx = self.expression_ctx();
        self.push(Frame::new(Opener::Bracket, ctx));
    }

    pub(super) fn close_bracket(&mut self) {
        if self.frames.len() > 1 && self.top().opener == Opener::Bracket {
            self.pop_frame();
        }
    }

    pub(super) fn close(&mut self) {
        // A CASE without END, and a `[` left open, end with the bracket around them.
        while self.frames.len() > 1 && matches!(self.top().opener, Opener::Case | Opener::Bracket) {
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
        if !matches!(f.opener, Opener::Plain | Opener::Bracket) {
            self.operand(result);
        }
    }

    pub(super) fn result_of(&mut self, f: &Frame) -> Operand {
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

    pub(super) fn subquery(&mut self, f: &Frame, sticky: u32) -> Operand {
        let over_nothing = !f.has_from && f.items > 0 && f.flags & (flag::NAME | flag::NOW) == 0;
        let direct = if f.opener == Opener::Group { flag::DIRECT_SUB } else { 0 };
        let mut flags = (sticky & !flag::NAME) | flag::SUB | direct;
        if over_nothing {
            flags |= flag::CONST_SUB;
            let values = matches!(f.outer, Ctx::Predicate | Ctx::Order | Ctx::Limit | Ctx::List)
                || (f.outer == Ctx::Values && f.flags & (flag::SYS | flag::SYS_NAME | flag::VAR) != 0);
            let empty = f.clause == Clause::Where;
            if values && f.opener != Opener::Exists && f.arm == 0 && !empty {
                self.raise(Signal::ConstSubquery);
            }
        }
        Operand::named(f.hash ^ u64::from(f.items), flags)
    }

    pub(super) fn call_result(&mut self, f: &Frame, sticky: u32, last: &Operand) -> Operand {
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
            Kw::Cast if judged && f.flags & (flag::SYS | flag::SYS_NAME) != 0 => {
                self.raise(Signal::ErrorCast)
            }
            Kw::Cast if judged && f.flags & flag::SUB != 0 && f.flags & built != 0 => {
                self.raise(Signal::ErrorBased);
            }
            Kw::Repeat
                if judged
                    && self.top().ctx() == Ctx::Predicate
                    && last.val.plain_number().unwrap_or(0.0) >= 1e6 =>
            {
                self.raise(Signal::HeavyCall);
            }
            Kw::Heavy => {
                let n = last.val.plain_number().unwrap_or(0.0);
                if n >= 1e7
                    || (n >= 1e5 && self.frames.iter().any(|g| g.outer.is_judged() || g.ctx().is_judged()))
                {
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
