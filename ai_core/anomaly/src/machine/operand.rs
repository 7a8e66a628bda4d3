//! A value in an expression with what is known about it; it does not know where it stands.

use crate::digest::mix;
use crate::value::Val;

pub(super) mod flag {
    /// No column takes part.
    pub(in crate::machine) const CONST: u32 = 1;
    /// A bare literal.
    pub(in crate::machine) const LIT: u32 = 1 << 1;
    pub(in crate::machine) const TEXT: u32 = 1 << 2;
    pub(in crate::machine) const NUM: u32 = 1 << 3;
    /// Holds a subquery.
    pub(in crate::machine) const SUB: u32 = 1 << 4;
    /// `version()`, `@@version`.
    pub(in crate::machine) const SYS: u32 = 1 << 5;
    /// `user()`, `database()`.
    pub(in crate::machine) const SYS_NAME: u32 = 1 << 6;
    /// A function that looks at single characters.
    pub(in crate::machine) const SUBSTR: u32 = 1 << 7;
    pub(in crate::machine) const ORD: u32 = 1 << 8;
    /// Text built from character codes.
    pub(in crate::machine) const ENCODED: u32 = 1 << 9;
    pub(in crate::machine) const NAME: u32 = 1 << 10;
    pub(in crate::machine) const VAR: u32 = 1 << 11;
    pub(in crate::machine) const HEX: u32 = 1 << 12;
    pub(in crate::machine) const NULL: u32 = 1 << 13;
    /// A subquery over nothing.
    pub(in crate::machine) const CONST_SUB: u32 = 1 << 14;
    pub(in crate::machine) const CONCAT: u32 = 1 << 15;
    pub(in crate::machine) const RAND: u32 = 1 << 16;
    /// A literal with a type before or behind it.
    pub(in crate::machine) const TYPED: u32 = 1 << 17;
    pub(in crate::machine) const BOOL: u32 = 1 << 18;
    pub(in crate::machine) const NOW: u32 = 1 << 19;
    pub(in crate::machine) const CALL: u32 = 1 << 20;
    pub(in crate::machine) const LENGTH: u32 = 1 << 21;
    pub(in crate::machine) const WILD: u32 = 1 << 22;
    pub(in crate::machine) const NEGATIVE: u32 = 1 << 23;
    /// `1 != 1`, the empty list of one mapper.
    pub(in crate::machine) const EMPTY: u32 = 1 << 25;
    /// Is itself a bracketed query, not merely built over one.
    pub(in crate::machine) const DIRECT_SUB: u32 = 1 << 24;

    /// What a surrounding expression inherits.
    pub(in crate::machine) const STICKY: u32 = SUB
        | SYS
        | SYS_NAME
        | SUBSTR
        | ORD
        | ENCODED
        | NAME
        | VAR
        | HEX
        | CONST_SUB
        | CONCAT
        | RAND
        | NOW
        | LENGTH;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operand {
    pub(super) flags: u32,
    pub(super) hash: u64,
    pub(super) val: Val,
    pub(super) tokens: u16,
}

impl Operand {
    pub(super) fn named(hash: u64, flags: u32) -> Self {
        Self { flags, hash, val: Val::Unknown, tokens: 1 }
    }

    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags & flags != 0
    }
}

/// One side of a comparison, folded from left to right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side {
    pub(super) operands: u16,
    pub(super) consts: u16,
    pub(super) lits: u16,
    pub(super) flags: u32,
    pub(super) val: Val,
    pub(super) hash: u64,
    pub(super) tokens: u16,
    pub(super) operators: u16,
    pub(super) pending: crate::token::Op,
    pub(super) negative: bool,
    pub(super) inverted: bool,
    pub(super) first: u32,
}

impl Side {
    pub(super) const fn new() -> Self {
        Self {
            operands: 0,
            consts: 0,
            lits: 0,
            flags: 0,
            val: Val::Unknown,
            hash: 0,
            tokens: 0,
            operators: 0,
            pending: crate::token::Op::None,
            negative: false,
            inverted: false,
            first: 0,
        }
    }

    pub(super) fn is_const(&self) -> bool {
        self.operands > 0 && self.consts == self.operands
    }

    /// Exactly one literal and nothing else.
    pub(super) fn is_literal(&self) -> bool {
        self.operands == 1 && self.lits == 1
    }

    pub(super) fn add(&mut self, o: Operand, src: &[u8]) {
        use crate::token::Op;
        let mut val = o.val;
        if self.negative {
            val = val.negate(src);
            self.negative = false;
            self.flags |= flag::NEGATIVE;
            self.hash = mix(self.hash, 0x2D);
        }
        if self.inverted {
            val = val.truth(src).map_or(Val::Unknown, |b| Val::from_bool(!b));
            self.inverted = false;
        }
        self.val = if self.operands == 0 {
            self.first = o.flags;
            val
        } else {
            crate::value::arith(self.pending, self.val, val, src)
        };
        self.pending = Op::None;
        self.operands = self.operands.saturating_add(1);
        self.consts = self.consts.saturating_add(u16::from(o.has(flag::CONST)));
        self.lits = self.lits.saturating_add(u16::from(o.has(flag::LIT)));
        self.flags |= o.flags;
        self.hash = mix(self.hash, o.hash);
        self.tokens = self.tokens.saturating_add(o.tokens);
    }

    /// The side as one operand of an enclosing expression.
    pub(super) fn as_operand(&self) -> Operand {
        let single = self.operands == 1;
        let mut flags = if single { self.flags } else { self.flags & flag::STICKY };
        flags &= !flag::CONST;
        if self.is_const() {
            flags |= flag::CONST;
        }
        if !single {
            flags &= !flag::LIT;
        }
        Operand { flags, hash: self.hash, val: self.val, tokens: self.tokens }
    }
}
