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

/// A text literal by its place; its content is read only where two constants meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TextVal {
    from: u32,
    to: u32,
    wild: bool,
}

/// Equality by hash, order by prefix, numeric reading as MySQL and SQLite do it.
struct Content {
    hash: u64,
    prefix: u64,
    lead: f64,
    numeric: bool,
}

impl TextVal {
    fn content(self, src: &[u8]) -> Content {
        let body = src.get(self.from as usize..self.to as usize).unwrap_or(&[]);
        // Long texts are compared by their first 256 bytes and their length.
        let head = &body[..body.len().min(256)];
        let mut prefix = [0_u8; 8];
        for (slot, b) in prefix.iter_mut().zip(head) {
            *slot = b.to_ascii_lowercase();
        }
        let (lead, used) = leading_number(head);
        Content {
            hash: crate::digest::mix(crate::keywords::hash_of(head), body.len() as u64),
            prefix: u64::from_be_bytes(prefix),
            lead,
            numeric: used > 0 && used == body.len(),
        }
    }
}

impl Val {
    pub(crate) fn of(t: &Tok) -> Self {
        match t.kind {
            Kind::Number => Self::Num(t.num),
            Kind::Text => Self::Text(TextVal {
                from: (t.hash >> 32) as u32,
                to: (t.hash & 0xFFFF_FFFF) as u32,
                wild: t.class == LitClass::Wild,
            }),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn number(self, src: &[u8]) -> Option<f64> {
        match self {
            Self::Num(n) => Some(n),
            Self::Text(t) => Some(t.content(src).lead),
            _ => None,
        }
    }

    /// The number, if it is one and no text.
    pub(crate) fn plain_number(self) -> Option<f64> {
        if let Self::Num(n) = self { Some(n) } else { None }
    }

    pub(crate) fn truth(self, src: &[u8]) -> Option<bool> {
        self.number(src).map(|n| n != 0.0)
    }

    pub(crate) fn bits(self, src: &[u8]) -> u64 {
        match self {
            Self::Unknown => 1,
            Self::Null => 2,
            Self::Num(n) => n.to_bits(),
            Self::Text(t) => t.content(src).hash,
        }
    }

    pub(crate) fn from_bool(b: bool) -> Self {
        Self::Num(if b { 1.0 } else { 0.0 })
    }

    pub(crate) fn negate(self, src: &[u8]) -> Self {
        self.number(src).map_or(self, |n| Self::Num(-n))
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
pub(crate) fn compare(op: Op, a: Val, b: Val, src: &[u8]) -> Option<bool> {
    use std::cmp::Ordering;
    if matches!(a, Val::Null) || matches!(b, Val::Null) {
        return if op == Op::NullEq { Some(a == b) } else { None };
    }
    let order = match (a, b) {
        (Val::Text(x), Val::Text(y)) => {
            let (x, y) = (x.content(src), y.content(src));
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
        _ => a.number(src)?.partial_cmp(&b.number(src)?)?,
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
pub(crate) fn like(a: Val, b: Val, src: &[u8]) -> Option<bool> {
    match (a, b) {
        (_, Val::Text(p)) if p.wild => Some(true),
        (Val::Text(x), Val::Text(y)) => (x.content(src).hash == y.content(src).hash).then_some(true),
        (Val::Num(x), Val::Num(y)) => Some(x == y),
        (Val::Num(x), Val::Text(y)) | (Val::Text(y), Val::Num(x)) => {
            let y = y.content(src);
            y.numeric.then_some(x == y.lead)
        }
        _ => None,
    }
}

pub(crate) fn arith(op: Op, a: Val, b: Val, src: &[u8]) -> Val {
    if matches!(op, Op::None | Op::Unknown | Op::Arrow | Op::And | Op::Concat) {
        return Val::Unknown;
    }
    let (Some(x), Some(y)) = (a.number(src), b.number(src)) else { return Val::Unknown };
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

    const SRC: &[u8] = b"a b 1x abc %% -12.5";

    fn t(from: u32, to: u32) -> Val {
        Val::Text(TextVal { from, to, wild: from == 11 })
    }

    #[test]
    fn folds_numbers_and_texts() {
        let (a, b, one, abc, wild, num) = (t(0, 1), t(2, 3), t(4, 6), t(7, 10), t(11, 13), t(14, 19));
        let n = Val::Num;
        assert_eq!(compare(Op::Eq, n(1.0), n(1.0), SRC), Some(true));
        assert_eq!(compare(Op::Gt, n(1.0), n(2.0), SRC), Some(false));
        assert_eq!(compare(Op::Eq, a, a, SRC), Some(true));
        assert_eq!(compare(Op::Lt, a, b, SRC), Some(true));
        assert_eq!(compare(Op::Eq, n(1.0), one, SRC), Some(true));
        assert_eq!(compare(Op::Eq, Val::Null, Val::Null, SRC), None);
        assert_eq!(compare(Op::NullEq, Val::Null, Val::Null, SRC), Some(true));
        assert_eq!(like(abc, wild, SRC), Some(true));
        assert_eq!(arith(Op::Star, n(2.0), n(3.0), SRC), n(6.0));
        assert_eq!(arith(Op::Slash, n(2.0), n(0.0), SRC), Val::Unknown);
        assert_eq!(num.number(SRC), Some(-12.5));
    }
}
