//! One condition between connectives: how it is built and what its value gives away.

use super::frame::{Clause, Ctx, Opener};
use super::operand::{Operand, Side, flag};
use super::{Kw, Machine, Signal};
use crate::token::{Kind, Op, Tok};
use crate::value::{self, Val};

/// A statement with more connectives than this is generated or deeply analytic: a constant term in it
/// is only taken for injected where it follows a value.
const LINKS_PLAIN_MAX: u32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    None,
    And,
    Or,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    pub(super) sides: [Side; 2],
    pub(super) compares: u8,
    pub(super) op: Op,
    pub(super) like: bool,
    pub(super) is: bool,
    pub(super) between: bool,
    /// `IN (…)`.
    pub(super) member: bool,
    pub(super) nots: u8,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Truth {
    Open,
    /// Constant, value not known here.
    Fixed,
    Known(bool),
}

impl Term {
    pub(super) const fn new() -> Self {
        Self {
            sides: [Side::new(), Side::new()],
            compares: 0,
            op: Op::None,
            like: false,
            is: false,
            between: false,
            member: false,
            nots: 0,
        }
    }

    pub(super) fn side(&mut self) -> &mut Side {
        &mut self.sides[usize::from(self.compares > 0)]
    }

    fn is_const(&self) -> bool {
        self.sides[0].is_const() && (self.compares == 0 || self.sides[1].is_const())
    }

    fn truth(&self, src: &[u8]) -> Truth {
        if !self.is_const() {
            return Truth::Open;
        }
        let value = if self.compares == 0 {
            self.sides[0].val.truth(src)
        } else if self.like {
            value::like(self.sides[0].val, self.sides[1].val, src)
        } else {
            value::compare(self.op, self.sides[0].val, self.sides[1].val, src)
        };
        match value {
            Some(b) => Truth::Known(b != (self.nots % 2 == 1)),
            None => Truth::Fixed,
        }
    }

    /// The finished term as one operand.
    fn as_operand(&self, src: &[u8]) -> Operand {
        if self.compares == 0 {
            let mut o = self.sides[0].as_operand();
            if self.nots % 2 == 1 {
                o.val = o.val.truth(src).map_or(Val::Unknown, |b| Val::from_bool(!b));
            }
            return o;
        }
        let flags = (self.sides[0].flags | self.sides[1].flags) & flag::STICKY;
        let val = match self.truth(src) {
            Truth::Known(b) => Val::from_bool(b),
            _ => Val::Unknown,
        };
        let fixed = if self.is_const() { flag::CONST } else { 0 };
        let empty = if self.is_empty_list() { flag::EMPTY } else { 0 };
        Operand {
            flags: flags | fixed | empty | flag::BOOL,
            hash: crate::digest::mix(self.sides[0].hash, self.sides[1].hash ^ self.op as u64),
            val,
            tokens: self.sides[0].tokens.saturating_add(self.sides[1].tokens),
        }
    }

    fn is_empty_list(&self) -> bool {
        let ones = self.sides.iter().all(|s| s.is_literal() && s.val == Val::Num(1.0));
        self.compares == 1 && self.op == Op::Ne && ones && self.nots == 0
    }

    /// `x = x` with columns, functions and no literal.
    fn is_identity(&self) -> bool {
        let (a, b) = (&self.sides[0], &self.sides[1]);
        self.compares == 1
            && !self.is
            && matches!(self.op, Op::Eq | Op::Le | Op::Ge | Op::NullEq)
            && a.operands > 0
            && a.hash == b.hash
            && a.tokens == b.tokens
            && (a.flags | b.flags) & (flag::LIT | flag::SUB) == 0
    }
}

impl Machine<'_> {
    pub(super) fn operand(&mut self, o: Operand) {
        let judged = self.judged();
        let src = self.src;
        let f = self.top();
        f.flags |= o.flags;
        f.hash = crate::digest::mix(f.hash, o.hash);
        f.operands = f.operands.saturating_add(1);
        f.all_const &= o.has(flag::CONST);
        let side = f.term.side();
        let loose = judged && side.pending != Op::None && is_loose(side, &o);
        side.add(o, src);
        if loose {
            self.raise(Signal::LiteralOperator);
        }
    }

    /// `.name` behind a name: the same operand, another identity.
    pub(super) fn qualify(&mut self, hash: u64) {
        let f = self.top();
        f.hash = crate::digest::mix(f.hash, hash);
        let side = f.term.side();
        side.hash = crate::digest::mix(side.hash, hash);
    }

    pub(super) fn arith(&mut self, op: Op, next: &Tok) {
        let f = self.top();
        let side = f.term.side();
        if op == Op::Bang {
            side.inverted = !side.inverted;
            return;
        }
        let unary = side.operands == 0 || side.pending != Op::None;
        if unary {
            if op == Op::Minus {
                side.negative = !side.negative;
            } else if op == Op::Star {
                f.star = true;
                let all = Operand::named(2, flag::NAME);
                self.operand(all);
            } else if op == Op::Tilde {
                side.flags |= flag::CALL;
                side.hash = crate::digest::mix(side.hash, 0x7E);
            }
            return;
        }
        if op == Op::Star && (next.kind == crate::token::Kind::Comma || next.kw == Kw::From) {
            f.star = true;
            return;
        }
        side.pending = op;
        side.operators = side.operators.saturating_add(1);
    }

    pub(super) fn cast(&mut self, next: &Tok) {
        let judged = self.judged();
        let side = self.top().term.side();
        let numeric = matches!(next.kw, Kw::TypeWord) || next.kind == crate::token::Kind::Word;
        if judged && numeric && side.flags & (flag::SYS | flag::SYS_NAME) != 0 {
            self.raise(Signal::ErrorCast);
        }
    }

    pub(super) fn compare(&mut self, op: Op) {
        let ctx = self.top().ctx();
        let judged = self.judged();
        let src = self.src;
        let f = self.top();
        let (opener, is_query) = (f.opener, f.is_query);
        let direct = is_query || matches!(opener, Opener::Row | Opener::In | Opener::Top);
        let term = &mut f.term;
        let mut odd = false;
        let mut chain = false;
        if term.compares > 0 {
            chain = !term.is && term.sides[1].operands > 0;
            odd = term.sides[1].is_literal() && term.sides[1].flags & flag::TEXT != 0;
            let folded = term.as_operand(src);
            term.sides = [Side::new(), Side::new()];
            term.sides[0].add(folded, src);
            term.like = false;
            term.is = false;
            term.member = false;
        } else if direct && matches!(ctx, Ctx::Values | Ctx::List | Ctx::Order | Ctx::Limit) {
            odd = term.sides[0].is_literal();
        }
        term.compares = 1;
        term.op = op;
        if judged && chain {
            self.raise(Signal::CompareChain);
        }
        if judged && odd {
            self.raise(Signal::LiteralOperator);
        }
    }

    pub(super) fn logic(&mut self, link: Link) {
        let f = self.top();
        if link == Link::And && f.term.between {
            f.term.between = false;
            f.term.side().pending = Op::And;
            return;
        }
        let ctx = f.ctx();
        let direct = f.is_query || matches!(f.opener, Opener::Row | Opener::In | Opener::Top);
        let literal = f.term.side().is_literal();
        let misplaced = match ctx {
            // Exact matches first: `ORDER BY a = 1 AND b = 2` is a sort order.
            Ctx::Values | Ctx::List | Ctx::Order => literal && f.term.compares == 0,
            Ctx::Set => literal,
            Ctx::Limit => true,
            _ => false,
        };
        if direct && misplaced && f.opener != Opener::Plain {
            self.raise(Signal::MisplacedLogic);
        }
        self.end_term(link);
    }

    /// Judges the finished term of the top frame and starts the next.
    pub(super) fn end_term(&mut self, after: Link) {
        let judged = self.judged();
        if after != Link::None {
            self.links = self.links.saturating_add(1);
        }
        let links = self.links;
        let src = self.src;
        let value_ends = self.prev.is_literal()
            || self.prev.kw == Kw::Null
            || self.prev.kind == Kind::Param
            || (self.prev.kind == Kind::RParen && self.prev2.is_literal());
        let f = self.top();
        let term = f.term;
        let before = f.link;
        let after_value = f.link_after_value || links <= LINKS_PLAIN_MAX;
        f.link = after;
        f.link_after_value = value_ends;
        f.term = Term::new();
        if term.sides[0].operands == 0 && term.sides[1].operands == 0 {
            return;
        }
        let linked = before != Link::None || after != Link::None;
        f.linked |= linked;
        if !f.is_query {
            // Only a bracket hands its value on.
            f.last = Some(if linked { self_unknown(&term, src) } else { term.as_operand(src) });
        }
        f.terms = f.terms.saturating_add(1);
        let under_or = before == Link::Or || (after == Link::Or && before == Link::None) || f.under_or;
        let group = !f.is_query && matches!(f.opener, Opener::Group | Opener::Exists);
        let condition = match f.opener {
            Opener::Case => f.clause == Clause::When,
            Opener::Call => f.call == Kw::If && f.args == 0,
            _ => false,
        };
        let truth = term.truth(src);
        // Builders begin with a neutral element: true before AND, false before OR, and several of them.
        let opens_or = after == Link::Or && truth == Truth::Known(false);
        let leads =
            if group { f.leading || opens_or } else { matches!(f.clause, Clause::Where | Clause::On) };
        let neutral = before != Link::Or && (after != Link::Or || opens_or);
        let leading = f.constant_so_far && leads && neutral;
        f.constant_so_far &= truth != Truth::Open;
        if condition {
            if truth != Truth::Open && (term.compares > 0 || term.sides[0].flags & flag::BOOL != 0) {
                self.raise(Signal::CondProbe);
            }
            return;
        }
        if !judged {
            return;
        }
        self.judge_compare(&term, linked);
        // A bracket with one term is judged where the bracket stands.
        if group && !linked {
            return;
        }
        self.judge_constant(&term, truth, linked, leading, under_or, after_value);
    }

    fn judge_constant(
        &mut self,
        term: &Term,
        truth: Truth,
        linked: bool,
        leading: bool,
        under_or: bool,
        after_value: bool,
    ) {
        if truth == Truth::Open {
            if under_or && after_value && term.is_identity() {
                self.raise(Signal::Tautology);
            }
            if under_or && term.like && term.sides[1].flags & flag::WILD != 0 && term.nots == 0 {
                self.raise(Signal::WildOr);
            }
            return;
        }
        let ctx = self.top().ctx();
        let boolean = term.compares > 0 || term.sides[0].flags & flag::BOOL != 0;
        if !boolean {
            // A bare constant is a condition only beside a connective.
            let literal = term.sides[0].flags & (flag::LIT | flag::NULL) != 0;
            if !linked || !literal || leading {
                return;
            }
        } else if term.is && term.sides[0].flags & flag::NULL != 0 {
            return;
        }
        if !linked && !matches!(ctx, Ctx::Predicate | Ctx::Order | Ctx::Limit) {
            return;
        }
        if leading && boolean && !self.top().term_is_odd(term) {
            return;
        }
        // `IN (NULL) AND (1 != 1)` is how one mapper writes an empty list.
        let empty = term.is_empty_list() || (term.compares == 0 && term.sides[0].flags & flag::EMPTY != 0);
        if empty && !under_or {
            return;
        }
        match truth {
            Truth::Known(true) if under_or && after_value => self.raise(Signal::Tautology),
            _ => {
                // A number beside a text: nobody writes two of them into one condition by hand.
                let is_text = (term.sides[0].flags | term.sides[1].flags) & flag::TEXT != 0;
                self.const_kinds |= if is_text { 2 } else { 1 };
                if self.const_kinds == 3 {
                    self.raise(Signal::ConstPair);
                }
                self.raise(Signal::Contradiction);
            }
        }
    }

    fn judge_compare(&mut self, term: &Term, linked: bool) {
        let (a, b) = (&term.sides[0], &term.sides[1]);
        let ctx = self.top().ctx();
        if term.compares == 0 {
            if linked && a.operands == 1 && a.first & flag::DIRECT_SUB != 0 && ctx != Ctx::Set {
                self.raise(Signal::LiteralSubquery);
            }
            if ctx == Ctx::Order && a.flags & flag::ORD != 0 && a.flags & flag::SUBSTR != 0 {
                self.raise(Signal::Blind);
            }
            return;
        }
        let scalar = b.operands == 1 && b.first & flag::DIRECT_SUB != 0;
        if a.is_literal() && scalar && !term.is && !term.member {
            self.raise(Signal::LiteralSubquery);
        }
        let reads = flag::SUB | flag::SYS | flag::SYS_NAME;
        let peeks = flag::SUBSTR | flag::ORD | flag::LENGTH;
        if (a.flags | b.flags) & (reads | flag::ORD) == 0 {
            return;
        }
        for (x, y) in [(a, b), (b, a)] {
            let fixed = y.is_const() || y.flags & flag::VAR != 0;
            let inside = x.flags & reads != 0 && x.flags & peeks != 0;
            let digs = x.flags & flag::ORD != 0 && x.flags & flag::SUBSTR != 0;
            if (inside || digs) && (fixed || y.flags & flag::CALL != 0 || x.lits > 0) {
                self.raise(Signal::Blind);
            }
            if x.flags & flag::SYS != 0 {
                self.raise(Signal::SystemProbe);
            }
            if x.flags & flag::SYS_NAME != 0 && (fixed || x.flags & peeks != 0) {
                self.raise(Signal::SystemProbe);
            }
        }
    }
}

/// Connected terms have no single value.
fn self_unknown(term: &Term, src: &[u8]) -> Operand {
    let mut o = term.as_operand(src);
    o.val = Val::Unknown;
    o.flags &= !(flag::LIT | flag::CONST);
    o
}

/// A text literal taken into arithmetic where data is expected.
fn is_loose(side: &Side, o: &Operand) -> bool {
    let typed = (side.flags | o.flags) & (flag::TYPED | flag::NOW) != 0;
    if typed || side.pending == Op::And {
        return false;
    }
    let left_text = side.flags & flag::TEXT != 0 && side.lits > 0;
    let right_text = o.flags & flag::TEXT != 0 && o.has(flag::LIT);
    let both = side.is_const() && o.has(flag::CONST);
    if side.pending == Op::Hash {
        return side.lits > 0 && o.has(flag::NAME);
    }
    if side.pending == Op::Concat && side.lits > 0 && o.has(flag::DIRECT_SUB) {
        return true;
    }
    if matches!(side.pending, Op::Concat | Op::Unknown | Op::Arrow) {
        return both && left_text && right_text;
    }
    (left_text && side.first & flag::TEXT != 0) || (both && (left_text || right_text))
}

impl super::frame::Frame {
    /// `WHERE 1=1` is an idiom; a leading constant of several parts is none.
    fn term_is_odd(&self, term: &Term) -> bool {
        term.sides[0].operands > 1 || term.sides[1].operands > 1
    }
}
