//! Changes values on their way to the caller as column rules say; which columns it changes was decided before.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use harvest::{ColType, Column, Flow, HarvestCode, HarvestError, HarvestResult, RowSink, Value};
use harvest_gate::fold_identifier;
use sha2::{Digest, Sha256};

use super::{ColumnAction, Transform};

/// What stands for a masked value.
const MASK: &str = "***";
/// Characters of a value that `partial` leaves.
const PARTIAL_KEPT_CHARS: usize = 4;
/// Shorter values are masked whole by `partial`.
const PARTIAL_CHARS_MIN: usize = 8;
/// Bytes of the digest that `hash` shows.
const HASH_BYTES: usize = 16;
const BLOCK_BYTES: usize = 64;

/// The secret of the `hash` action.
#[derive(Clone)]
pub(crate) struct HashKey([u8; 32]);

impl HashKey {
    /// The key that configuration sets.
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// A key that lives as long as the process.
    pub(crate) fn random() -> Self {
        let mut hasher = Sha256::new();
        for round in 0..4_u8 {
            hasher.update(RandomState::new().hash_one(round).to_le_bytes());
        }
        Self(hasher.finalize().into())
    }

    /// HMAC-SHA-256, cut to [`HASH_BYTES`], in hexadecimal digits.
    fn digest(&self, text: &[u8]) -> String {
        let pad = |with: u8| {
            let mut block = [with; BLOCK_BYTES];
            block.iter_mut().zip(self.0).for_each(|(b, k)| *b ^= k);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
        let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
        outer.iter().take(HASH_BYTES).fold(String::new(), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey")
    }
}

/// A sink around another one.
pub(crate) struct ColumnSink<'a> {
    inner: &'a mut dyn RowSink,
    transform: &'a Transform,
    key: HashKey,
    dialect: harvest::DialectName,
    actions: Option<Vec<Option<ColumnAction>>>,
}

impl<'a> ColumnSink<'a> {
    pub(crate) fn new(
        inner: &'a mut dyn RowSink,
        transform: &'a Transform,
        key: HashKey,
        dialect: harvest::DialectName,
    ) -> Self {
        Self { inner, transform, key, dialect, actions: None }
    }
}

fn lost() -> HarvestError {
    let message = "the columns of the result are not those that the column rules were applied to";
    HarvestError::new(HarvestCode::PermissionDenied, message)
        .with("by", "policy")
        .with("remedy", "name the columns that you need instead of *")
}

impl RowSink for ColumnSink<'_> {
    fn columns(&mut self, columns: &[Column]) -> HarvestResult<()> {
        let mut actions = vec![None; columns.len()];
        match self.transform {
            Transform::None => {}
            Transform::ByIndex(list) => {
                for (at, action) in list {
                    *actions.get_mut(*at).ok_or_else(lost)? = Some(*action);
                }
            }
            Transform::ByName(list) => {
                for (name, action) in list {
                    let same = |c: &Column| fold_identifier(self.dialect, &c.name) == *name;
                    let mut found = false;
                    for (slot, _) in actions.iter_mut().zip(columns).filter(|(_, c)| same(c)) {
                        *slot = Some(*action);
                        found = true;
                    }
                    if !found {
                        return Err(lost());
                    }
                }
            }
        }
        let shown: Vec<Column> = columns
            .iter()
            .zip(&actions)
            .map(|(column, action)| match action {
                None => column.clone(),
                Some(_) => Column::new(column.name.clone(), ColType::String, "text"),
            })
            .collect();
        self.actions = Some(actions);
        self.inner.columns(&shown)
    }

    fn row(&mut self, mut row: Vec<Value>) -> HarvestResult<Flow> {
        let actions = self.actions.as_ref().filter(|a| a.len() == row.len()).ok_or_else(lost)?;
        for (value, action) in row.iter_mut().zip(actions) {
            if let Some(action) = action {
                *value = changed(std::mem::replace(value, Value::Null), *action, &self.key);
            }
        }
        self.inner.row(row)
    }
}

fn changed(value: Value, action: ColumnAction, key: &HashKey) -> Value {
    match (action, value) {
        (ColumnAction::Mask, _) => Value::Text(MASK.to_owned()),
        (ColumnAction::Null | ColumnAction::Deny, _) | (_, Value::Null) => Value::Null,
        (ColumnAction::Hash, value) => Value::Text(key.digest(plain(&value).as_bytes())),
        (ColumnAction::Partial, value) => {
            let text = plain(&value);
            let chars = text.chars().count();
            let kept = if chars < PARTIAL_CHARS_MIN { 0 } else { PARTIAL_KEPT_CHARS };
            let tail: String = text.chars().skip(chars - kept).collect();
            Value::Text(format!("{MASK}{tail}"))
        }
    }
}

/// The value as text; equal values of a column give equal texts.
fn plain(value: &Value) -> String {
    match value {
        Value::Text(text)
        | Value::Decimal(text)
        | Value::Date(text)
        | Value::Time(text)
        | Value::DateTime(text)
        | Value::TimestampTz(text) => text.clone(),
        Value::Int(int) => int.to_string(),
        Value::UInt(int) => int.to_string(),
        Value::Float(float) => float.to_string(),
        Value::Bool(flag) => flag.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_change_as_the_action_says() {
        let key = HashKey::of("k");
        let change = |text: &str, action| changed(Value::Text(text.into()), action, &key);
        assert_eq!(change("0123456789", ColumnAction::Partial), Value::Text("***6789".into()));
        assert_eq!(change("0123456", ColumnAction::Partial), Value::Text("***".into()));
        assert_eq!(change("x", ColumnAction::Mask), Value::Text("***".into()));
        assert_eq!(change("x", ColumnAction::Null), Value::Null);
        assert_eq!(changed(Value::Null, ColumnAction::Mask, &key), Value::Text("***".into()));
        assert_eq!(changed(Value::Null, ColumnAction::Hash, &key), Value::Null);
        let (a, b) = (change("a", ColumnAction::Hash), change("b", ColumnAction::Hash));
        assert_eq!(a, change("a", ColumnAction::Hash));
        assert_ne!(a, b);
        assert_ne!(a, changed(Value::Text("a".into()), ColumnAction::Hash, &HashKey::random()));
    }

    #[test]
    fn the_digest_is_hmac_sha_256() {
        // RFC 4231, test case 2, has a key of four bytes; zeros after it do not change an HMAC.
        let mut key = [0_u8; 32];
        key[..4].copy_from_slice(b"Jefe");
        let digest = HashKey(key).digest(b"what do ya want for nothing?");
        assert_eq!(digest, "5bdcc146bf60754e6a042426089575c7");
    }
}
