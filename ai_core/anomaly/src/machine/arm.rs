//! What a SELECT returns and sorts by: items, UNION arms and ORDER BY terms against each other.

use super::Machine;
use super::Signal;
use super::frame::{Clause, Opener};
use super::operand::flag;
use super::term::Link;
use crate::value::Val;

impl Machine<'_> {
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
            self.raise(if f.first_from { Signal::UnionArity } else { Signal::UnionPadding });
        }
        if !f.first_from {
            return;
        }
        let constant = !f.has_from && f.const_items == f.items && f.items > 0;
        let counted = f.sequence >= 2 && f.pads > 1;
        let telling = f.flags & (flag::SYS | flag::ENCODED | flag::HEX) != 0;
        let reveals = f.odd_items > 0 && (f.pads > 0 || telling || !f.has_from);
        if constant || counted || reveals {
            self.raise(Signal::UnionProbe);
        } else if f.sequence >= 1 && f.pads > 0 || f.pads >= 2 {
            self.raise(Signal::UnionPadding);
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
            let n = side.val.plain_number().unwrap_or(0.0);
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
}
