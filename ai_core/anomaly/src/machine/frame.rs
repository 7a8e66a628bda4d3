//! One open bracket or query level and what has been seen in it; it raises no signal.

use super::operand::Operand;
use super::term::{Link, Term};
use crate::keywords::Kw;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    Top,
    Group,
    Call,
    In,
    Row,
    Case,
    Exists,
    /// `[…]`: an array or a subscript.
    Bracket,
    /// OVER (…), FILTER (…), USING (…), column lists.
    Plain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clause {
    None,
    Select,
    From,
    Target,
    Where,
    On,
    Having,
    GroupBy,
    OrderBy,
    Limit,
    Set,
    Values,
    When,
    Then,
    Other,
}

impl Clause {
    pub(super) fn is_predicate(self) -> bool {
        matches!(self, Self::Where | Self::On | Self::Having)
    }

    pub(super) fn reads_tables(self) -> bool {
        matches!(self, Self::From | Self::Target)
    }
}

/// Where an expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ctx {
    Top,
    Select,
    From,
    Predicate,
    Order,
    Limit,
    Values,
    Set,
    List,
    Other,
}

impl Ctx {
    pub(super) fn is_judged(self) -> bool {
        matches!(self, Self::Predicate | Self::Order | Self::Limit | Self::Values | Self::Set | Self::List)
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) opener: Opener,
    /// Function whose bracket comes next.
    pub(super) pending: Kw,
    pub(super) pending_hash: u64,
    /// Function before this bracket.
    pub(super) call: Kw,
    pub(super) call_hash: u64,
    /// Place of the bracket in its parent.
    pub(super) outer: Ctx,
    pub(super) clause: Clause,
    pub(super) is_query: bool,
    pub(super) expect_table: bool,
    pub(super) has_from: bool,
    /// The conditions before were all under the leading WHERE.
    pub(super) terms: u16,
    /// Every term of the clause so far was constant.
    pub(super) constant_so_far: bool,
    pub(super) under_or: bool,
    pub(super) leading: bool,
    pub(super) term: Term,
    pub(super) link: Link,
    /// The connective before this term stands behind a value, where injected text begins.
    pub(super) link_after_value: bool,
    /// Union of flags of all operands that passed through.
    pub(super) flags: u32,
    pub(super) all_const: bool,
    pub(super) operands: u16,
    pub(super) args: u16,
    pub(super) last: Option<Operand>,
    pub(super) linked: bool,
    // Select list of the current arm.
    pub(super) arm: u16,
    pub(super) items: u16,
    pub(super) star: bool,
    pub(super) pads: u16,
    pub(super) sequence: u16,
    pub(super) const_items: u16,
    pub(super) odd_items: u16,
    pub(super) first_items: u16,
    pub(super) first_from: bool,
    pub(super) first_star: bool,
    pub(super) hash: u64,
}

impl Frame {
    pub(super) fn new(opener: Opener, outer: Ctx) -> Self {
        Self {
            opener,
            pending: Kw::None,
            pending_hash: 0,
            call: Kw::None,
            call_hash: 0,
            outer,
            clause: if opener == Opener::Case { Clause::Then } else { Clause::None },
            is_query: false,
            expect_table: false,
            has_from: false,
            terms: 0,
            constant_so_far: true,
            under_or: false,
            leading: false,
            term: Term::new(),
            link: Link::None,
            link_after_value: false,
            flags: 0,
            all_const: true,
            operands: 0,
            args: 0,
            last: None,
            linked: false,
            arm: 0,
            items: 0,
            star: false,
            pads: 0,
            sequence: 0,
            const_items: 0,
            odd_items: 0,
            first_items: 0,
            first_from: false,
            first_star: false,
            hash: 0,
        }
    }

    /// Where an expression of this frame stands now.
    pub(super) fn ctx(&self) -> Ctx {
        if !self.is_query && self.opener != Opener::Top {
            return match self.opener {
                Opener::In => Ctx::List,
                Opener::Row => Ctx::Values,
                Opener::Plain | Opener::Bracket => Ctx::Other,
                _ => self.outer,
            };
        }
        match self.clause {
            Clause::Where | Clause::On | Clause::Having => Ctx::Predicate,
            Clause::Select => Ctx::Select,
            Clause::From | Clause::Target => Ctx::From,
            Clause::OrderBy | Clause::GroupBy => Ctx::Order,
            Clause::Limit => Ctx::Limit,
            Clause::Values => Ctx::Values,
            Clause::Set => Ctx::Set,
            _ => Ctx::Other,
        }
    }
}
