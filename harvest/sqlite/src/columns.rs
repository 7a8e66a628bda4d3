//! What type a result's column gets, from its declaration and its first values; it reads no row itself.

use harvest::{ColType, Column, Dialect, TypeFamily, Value};

use crate::dialect::DIALECT;
use crate::values::Class;

/// What is known of one column.
pub(crate) struct Shape {
    name: String,
    declared: String,
    /// Storage classes that were seen: integer, real, text, blob.
    seen: [bool; 4],
    /// Every integer that was seen is 0 or 1.
    truth: bool,
}

impl Shape {
    pub(crate) fn new(name: &str, declared: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            declared: declared.unwrap_or_default().to_owned(),
            seen: [false; 4],
            truth: true,
        }
    }

    pub(crate) fn note(&mut self, class: Class, value: &Value) {
        match class {
            Class::Null => return,
            Class::Integer => self.seen[0] = true,
            Class::Real => self.seen[1] = true,
            Class::Text => self.seen[2] = true,
            Class::Blob => self.seen[3] = true,
        }
        self.truth &= matches!(value, Value::Int(0 | 1));
    }

    /// The column's type: one storage class names it, several make it `any`, none leaves it to the declaration.
    pub(crate) fn column(&self) -> Column {
        let family = DIALECT.type_family(&self.declared);
        let numeric = matches!(family, TypeFamily::Decimal | TypeFamily::Float);
        let col_type = match self.seen {
            [true, false, false, false] if family == TypeFamily::Boolean && self.truth => ColType::Boolean,
            [true, false, false, false] if numeric => ColType::Float,
            [true, false, false, false] => ColType::Integer,
            [false, true, false, false] => ColType::Float,
            [true, true, false, false] if numeric => ColType::Float,
            [false, false, true, false] => ColType::String,
            [false, false, false, true] => ColType::Bytes,
            [false, false, false, false] => declared_type(family),
            _ => ColType::Any,
        };
        Column::new(&self.name, col_type, &self.declared)
    }
}

fn declared_type(family: TypeFamily) -> ColType {
    match family {
        TypeFamily::Integer => ColType::Integer,
        TypeFamily::Decimal | TypeFamily::Float => ColType::Float,
        TypeFamily::String | TypeFamily::Temporal | TypeFamily::Json | TypeFamily::Uuid => ColType::String,
        TypeFamily::Bytes => ColType::Bytes,
        TypeFamily::Boolean => ColType::Boolean,
        TypeFamily::Array | TypeFamily::Other => ColType::Any,
    }
}

/// A value in the form of its column's type; what does not fit stays as it is.
pub(crate) fn fitted(value: Value, col_type: ColType) -> Value {
    match (col_type, value) {
        (ColType::Boolean, Value::Int(i @ (0 | 1))) => Value::Bool(i == 1),
        // Integers in a column of floats lose nothing up to 2^53.
        (ColType::Float, Value::Int(i)) if i.unsigned_abs() <= 1 << 53 => Value::Float(i as f64),
        (_, value) => value,
    }
}
