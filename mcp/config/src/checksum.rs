//! Sums over rows: equal content gives equal sums in every layer, secrets enter as keyed hashes; it reads no table.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::cell::{Cell, Row};
use crate::family::{Family, TableDef};

/// Sums rows under one key.
pub(crate) struct Summer<'a> {
    key: &'a [u8],
    hash: Sha256,
}

impl<'a> Summer<'a> {
    pub(crate) fn new(key: &'a [u8]) -> Self {
        Self { key, hash: Sha256::new() }
    }

    /// Adds a table whose rows are in the order of their key.
    pub(crate) fn table(&mut self, table: &TableDef, rows: &[Row]) {
        self.text(table.name);
        let secret = table.secret.and_then(|column| table.position(column));
        for row in rows {
            self.hash.update([b'r']);
            for (at, cell) in row.iter().enumerate() {
                match cell.as_str() {
                    Some(text) if secret == Some(at) => self.secret(text),
                    _ => self.cell(cell),
                }
            }
        }
    }

    /// Adds variables.
    pub(crate) fn variables(&mut self, family: &Family, values: &BTreeMap<String, String>) {
        for (name, value) in values {
            self.text(name);
            if family.variable(name).is_some_and(|v| v.is_secret()) {
                self.secret(value);
            } else {
                self.text(value);
            }
        }
    }

    /// `0x` and 16 hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        let digest = self.hash.finalize();
        let mut bytes = [0_u8; 8];
        bytes.copy_from_slice(&digest[..8]);
        format!("0x{:016X}", u64::from_be_bytes(bytes))
    }

    fn cell(&mut self, cell: &Cell) {
        match cell {
            Cell::Null => self.hash.update([b'n']),
            Cell::Integer(number) => {
                self.hash.update([b'i']);
                self.hash.update(number.to_be_bytes());
            }
            Cell::Real(number) => {
                self.hash.update([b'f']);
                self.hash.update(number.to_be_bytes());
            }
            Cell::Text(text) => self.text(text),
            Cell::Blob(bytes) => {
                self.hash.update([b'b']);
                self.hash.update((bytes.len() as u64).to_be_bytes());
                self.hash.update(bytes);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.hash.update([b't']);
        self.hash.update((text.len() as u64).to_be_bytes());
        self.hash.update(text.as_bytes());
    }

    fn secret(&mut self, text: &str) {
        // A key of any length is accepted.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key) {
            mac.update(text.as_bytes());
            self.hash.update([b's']);
            self.hash.update(mac.finalize().into_bytes());
        }
    }
}
