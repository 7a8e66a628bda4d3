//! Query levels: which clause an expression belongs to; it does not judge what a clause holds.

use super::frame::{Clause, Opener};
use super::term::{Link, Term};
use super::{Kw, Machine, Signal};
use crate::token::{Kind, Tok};

impl Machine<'_> {
    pub(super) fn begin_select(&mut self) {
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
        f.constant_so_far = true;
        f.link = Link::None;
        f.flags = 0;
        f.all_const = true;
        f.linked = false;
        f.hash = 0;
    }

    pub(super) fn from(&mut self) {
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

    pub(super) fn expect(&mut self, clause: Clause) {
        self.end_term(Link::None);
        let f = self.top();
        f.clause = clause;
        f.expect_table = true;
        f.term = Term::new();
    }

    pub(super) fn into(&mut self, next: &Tok) {
        if next.kind == Kind::Variable || next.kw == Kw::Outfile {
            return;
        }
        if self.top().is_query && self.top().clause == Clause::Select {
            self.end_item();
        }
        self.expect(Clause::Target);
    }

    pub(super) fn on(&mut self, next: &Tok) {
        if matches!(next.kw, Kw::Update | Kw::Delete) || self.class == super::StatementClass::Definition {
            return;
        }
        self.clause(Clause::On);
    }

    pub(super) fn set(&mut self) {
        self.end_term(Link::None);
        if self.class == super::StatementClass::Write {
            self.clause(Clause::Set);
        }
    }

    pub(super) fn values(&mut self, next: &Tok) {
        if next.kind != Kind::LParen || self.top().clause == Clause::Set {
            return;
        }
        self.end_term(Link::None);
        let f = self.top();
        f.clause = Clause::Values;
        f.is_query = true;
        f.term = Term::new();
    }

    pub(super) fn clause(&mut self, clause: Clause) {
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
        f.constant_so_far = true;
        f.link = Link::None;
        f.term = Term::new();
        f.is_query |= f.opener == Opener::Top;
    }

    pub(super) fn union(&mut self, kw: Kw, next: &Tok) {
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
        self.end_arm();
        self.end_term(Link::None);
        let f = self.top();
        f.arm = f.arm.saturating_add(1);
        f.clause = Clause::None;
        f.is_query = true;
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

    pub(super) fn comma_in_call(&mut self) {
        self.end_term(Link::None);
        let f = self.top();
        f.args = f.args.saturating_add(1);
        f.link = Link::None;
    }
}
