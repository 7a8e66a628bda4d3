//! Money in whole trillionths of a US dollar, so that sums are exact; it does not know who pays.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

/// An amount of US dollars in units of 10⁻¹² dollar. Sums saturate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Usd(u64);

const UNITS_PER_USD: f64 = 1e12;

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From dollars; negative and non-finite values are nothing.
    #[must_use]
    pub fn from_dollars(dollars: f64) -> Self {
        if dollars.is_finite() && dollars > 0.0 {
            // A cast from float saturates, which is wanted here.
            Self((dollars * UNITS_PER_USD).round() as u64)
        } else {
            Self::ZERO
        }
    }

    /// In dollars, for display.
    #[must_use]
    pub fn dollars(self) -> f64 {
        self.0 as f64 / UNITS_PER_USD
    }

    /// The units themselves.
    #[must_use]
    pub const fn units(self) -> u64 {
        self.0
    }

    /// From units.
    #[must_use]
    pub const fn from_units(units: u64) -> Self {
        Self(units)
    }

    /// The difference, or nothing when `other` is larger.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl serde::Serialize for Usd {
    /// As a number of dollars.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.dollars())
    }
}

impl Add for Usd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for Usd {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6} USD", self.dollars())
    }
}

/// Prices of a provider and where they come from.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Price {
    /// Dollars for a million tokens read.
    pub input_usd_per_mtok: f64,
    /// Dollars for a million tokens written.
    pub output_usd_per_mtok: f64,
    /// `provider`, `variable`, `default` or `local`.
    pub source: &'static str,
}

impl Price {
    /// A price.
    #[must_use]
    pub const fn new(input_usd_per_mtok: f64, output_usd_per_mtok: f64, source: &'static str) -> Self {
        Self { input_usd_per_mtok, output_usd_per_mtok, source }
    }

    /// What these tokens cost.
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Usd {
        Self::part(self.input_usd_per_mtok, input_tokens)
            + Self::part(self.output_usd_per_mtok, output_tokens)
    }

    fn part(usd_per_mtok: f64, tokens: u64) -> Usd {
        // Dollars per million tokens are millionths of a dollar per token: 10⁶ units each.
        let per_token = Usd::from_dollars(usd_per_mtok / 1e6).units();
        Usd(per_token.saturating_mul(tokens))
    }
}

/// A guess at the number of tokens of a text: four ASCII characters or one other character each.
#[must_use]
pub fn estimate_tokens(text: &str) -> u64 {
    let ascii = text.bytes().filter(u8::is_ascii).count() as u64;
    let other = text.chars().filter(|c| !c.is_ascii()).count() as u64;
    ascii.div_ceil(4) + other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_exact() {
        let price = Price::new(10.0, 30.0, "provider");
        assert_eq!(price.cost(1_000_000, 0), Usd::from_dollars(10.0));
        assert_eq!(price.cost(1, 1).units(), 40_000_000);
        let many: Usd = (0..1_000_000).map(|_| price.cost(1, 0)).sum();
        assert_eq!(many, Usd::from_dollars(10.0));
        assert_eq!(Price::new(-1.0, f64::NAN, "x").cost(5, 5), Usd::ZERO);
        assert_eq!(price.cost(u64::MAX, u64::MAX).units(), u64::MAX);
    }

    #[test]
    fn token_guess_counts_other_scripts_fully() {
        assert_eq!(estimate_tokens(""), 0);
        assert_eq!(estimate_tokens("abcde"), 2);
        assert_eq!(estimate_tokens("数据库"), 3);
    }
}
