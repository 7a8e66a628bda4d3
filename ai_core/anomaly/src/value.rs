//! Constant folding over literals: just enough arithmetic and comparison to tell true from false.

use crate::token::{Kind, LitClass, Op, Tok};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Val {
    /// Constant or not, its value is not known.
    Unknown,
    Null,
    Num(f64),
    Text(TextVal),
}

/// A text by digest: equality by hash, order by prefix, numeric reading as MySQL and SQLite do it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TextVal {
    hash: u64,
    prefix: u64,
    lead: f64,
    numeric: bool,
    wild: bool,
}

impl Val {
    pub(crate) fn of(t: &Tok, src: &[u8]) -> Self {
        match t.kind {
            Kind::Number => Self::Num(t.num),
            Kind::Text => Self::text(t.body(src), t.class == LitClass::Wild),
            _ => Self::Unknown,
        }
    }

    fn text(body: &[u8], wild: bool) -> Self {
        // Long texts are compared by their first 256 bytes and their length.
        let head = &body[..body.len().min(256)];
        let mut hash = 0xCBF2_9CE4_8422_2325_u64 ^ body.len() as u64;
        for &b in head {
            hash = (hash ^ u64::from(b.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01B3);
        }
        let mut prefix = [0_u8; 8];
        for (slot, b) in prefix.iter_mut().zip(head) {
            *slot = b.to_ascii_lowercase();
        }
        let (lead, used) = leading_number(head);
        Self::Text(TextVal {
            hash,
            prefix: u64::from_be_bytes(prefix),
            lead,
            numeric: used > 0 && used == body.len(),
            wild,
        })
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text(_))
    }

    pub(crate) fn number(self) -> Option<f64> {
        match self {
            Self::Num(n) => Some(n),
            Self::Text(t) => Some(t.lead),
            _ => None,
        }
    }

    pub(crate) fn truth(self) -> Option<bool> {
        self.number().map(|n| n != 0.0)
    }

    pub(crate) fn bits(self) -> u64 {
        match self {
            Self::Unknown => 1,
            Self::Null => 2,
            Self::Num(n) => n.to_bits(),
            Self::Text(t) => t.hash,
        }
    }

    pub(crate) fn from_bool(b: bool) -> Self {
        Self::Num(if b { 1.0 } else { 0.0 })
    }

    pub(crate) fn negate(self) -> Self {
        self.number().map_or(self, |n| Self::Num(-n))
    }
}

fn leading_number(text: &[u8]) -> (f64, usize) {
    let mut i = 0;
    let negative = text.first() == Some(&b'-');
    if matches!(text.first(), Some(b'-' | b'+')) {
        i += 1;
    }
    let digits_from = i;
    let mut value = 0.0_f64;
    while let Some(d) = text.get(i).filter(|b| b.is_ascii_digit()) {
        value = value * 10.0 + f64::from(d - b'0');
        i += 1;
    }
    if text.get(i) == Some(&b'.') {
        i += 1;
        let mut scale = 0.1;
        while let Some(d) = text.get(i).filter(|b| b.is_ascii_digit()) {
            value += f64::from(d - b'0') * scale;
            scale *= 0.1;
            i += 1;
        }
    }
    if i == digits_from {
        return (0.0, 0);
    }
    (if negative { -value } else { value }, i)
}

/// Compares two constants; `None` where the dialects differ or the value is not known.
pub(crate) fn compare(op: Op, a: Val, b: Val) -> Option<bool> {
    use std::cmp::Ordering;
    if matches!(a, Val::Null) || matches!(b, Val::Null) {
        return if op == Op::NullEq { Some(a == b) } else { None };
    }
    let order = match (a, b) {
        (Val::Text(x), Val::Text(y)) => {
            if x.hash == y.hash {
                Ordering::Equal
            } else if x.prefix != y.prefix {
                x.prefix.cmp(&y.prefix)
            } else if matches!(op, Op::Eq | Op::Ne | Op::NullEq) {
                Ordering::Less
            } else {
                return None;
            }
        }
        _ => a.number()?.partial_cmp(&b.number()?)?,
    };
    match op {
        Op::Eq | Op::NullEq => Some(order.is_eq()),
        Op::Ne => Some(order.is_ne()),
        Op::Lt => Some(order.is_lt()),
        Op::Gt => Some(order.is_gt()),
        Op::Le => Some(order.is_le()),
        Op::Ge => Some(order.is_ge()),
        _ => None,
    }
}

/// `a LIKE b` over constants.
pub(crate) fn like(a: Val, b: Val) -> Option<bool> {
    match (a, b) {
        (_, Val::Text(p)) if p.wild => Some(true),
        (Val::Text(x), Val::Text(y)) if x.hash == y.hash => Some(true),
        (Val::Num(x), Val::Num(y)) => Some(x == y),
        (Val::Num(x), Val::Text(y)) | (Val::Text(y), Val::Num(x)) if y.numeric => Some(x == y.lead),
        _ => None,
    }
}

pub(crate) fn arith(op: Op, a: Val, b: Val) -> Val {
    let (Some(x), Some(y)) = (a.number(), b.number()) else { return Val::Unknown };
    match op {
        Op::Plus => Val::Num(x + y),
        Op::Minus => Val::Num(x - y),
        Op::Star => Val::Num(x * y),
        Op::Slash if y != 0.0 => Val::Num(x / y),
        Op::Percent if y != 0.0 => Val::Num(x % y),
        _ => Val::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(s: &str) -> Val {
        Val::text(s.as_bytes(), !s.is_empty() && s.bytes().all(|b| b == b'%'))
    }

    #[test]
    fn folds_numbers_and_texts() {
        assert_eq!(compare(Op::Eq, Val::Num(1.0), Val::Num(1.0)), Some(true));
        assert_eq!(compare(Op::Gt, Val::Num(1.0), Val::Num(2.0)), Some(false));
        assert_eq!(compare(Op::Eq, t("a"), t("a")), Some(true));
        assert_eq!(compare(Op::Lt, t("a"), t("b")), Some(true));
        assert_eq!(compare(Op::Eq, Val::Num(1.0), t("1x")), Some(true));
        assert_eq!(compare(Op::Eq, Val::Null, Val::Null), None);
        assert_eq!(compare(Op::NullEq, Val::Null, Val::Null), Some(true));
        assert_eq!(like(t("abc"), t("%%")), Some(true));
        assert_eq!(arith(Op::Star, Val::Num(2.0), Val::Num(3.0)), Val::Num(6.0));
        assert_eq!(arith(Op::Slash, Val::Num(2.0), Val::Num(0.0)), Val::Unknown);
        assert_eq!(t("-12.5").number(), Some(-12.5));
    }
}
