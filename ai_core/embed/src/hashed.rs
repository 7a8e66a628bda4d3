//! Hashed word and character n-grams as unit vectors; it is lexical: near vectors share words, not meaning.

use std::collections::BTreeMap;

use ai_core::{AiError, AiResult, Deadline, EmbedKind, Embedder, EmbedderInfo};

/// The model name recorded with every vector; any change of the method gets a new name.
pub const LEXICAL_HASH_MODEL: &str = "lexical-hash-v1";

/// Length of vectors unless a host asks for another.
pub const LEXICAL_HASH_DIM: usize = 1024;

/// Words beyond this number do not enter the vector.
const WORDS_MAX: usize = 200_000;

/// Characters of a word beyond this number are ignored.
const WORD_CHARS_MAX: usize = 64;

/// Common English words say little about a text; they keep a small weight so that no text is empty.
const COMMON: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "between",
    "but", "by", "can", "did", "do", "does", "for", "from", "had", "has", "have", "how", "i", "if", "in",
    "into", "is", "it", "its", "may", "more", "most", "no", "not", "of", "on", "one", "or", "other", "our",
    "over", "should", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "under", "up", "used", "using", "was", "we", "were", "what", "when",
    "where", "which", "while", "who", "why", "will", "with", "would", "you", "your",
];

const COMMON_WEIGHT: f32 = 0.05;
const PAIR_WEIGHT: f32 = 0.35;
const GRAM_WEIGHT: f32 = 0.30;

/// Embeds by hashing features of the words; the same text gives the same vector on every platform.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HashedEmbedder {
    dim: usize,
}

impl Default for HashedEmbedder {
    fn default() -> Self {
        Self { dim: LEXICAL_HASH_DIM }
    }
}

impl HashedEmbedder {
    /// An embedder of `dim` components.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` unless `dim` is 64–8192.
    pub fn new(dim: usize) -> AiResult<Self> {
        if !(64..=8192).contains(&dim) {
            return Err(
                AiError::invalid(format!("dimension {dim} is outside 64-8192")).with("argument", "dim")
            );
        }
        Ok(Self { dim })
    }

    fn vector(&self, text: &str) -> Vec<f32> {
        let mut counts: BTreeMap<u64, (f32, f32)> = BTreeMap::new();
        let mut add = |hash: u64, weight: f32| {
            let entry = counts.entry(hash).or_insert((0.0, weight));
            entry.0 += 1.0;
        };
        let mut before: Option<u64> = None;
        for word in words(text).take(WORDS_MAX) {
            let stem = stem(&word);
            let common = COMMON.binary_search(&word.as_str()).is_ok();
            let whole = hash(1, stem.as_bytes());
            add(whole, if common { COMMON_WEIGHT } else { 1.0 });
            if common {
                continue;
            }
            if let Some(previous) = before {
                add(mix(previous ^ whole.rotate_left(17) ^ 2), PAIR_WEIGHT);
            }
            before = Some(whole);
            for gram in grams(&word) {
                add(hash(3, gram.as_bytes()), GRAM_WEIGHT);
            }
        }
        let mut out = vec![0.0f32; self.dim];
        // A BTreeMap fixes the order of additions, and `sqrt` is exact in IEEE arithmetic: no platform differs.
        for (hash, (count, weight)) in counts {
            let slot = (hash % self.dim as u64) as usize;
            let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
            out[slot] += sign * weight * count.sqrt();
        }
        unit(&mut out);
        out
    }
}

impl Embedder for HashedEmbedder {
    fn info(&self) -> EmbedderInfo {
        EmbedderInfo::new("builtin", LEXICAL_HASH_MODEL, self.dim).with_lexical(true)
    }

    fn embed(&self, inputs: &[&str], _kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        let mut out = Vec::with_capacity(inputs.len());
        for text in inputs {
            deadline.check("embedding")?;
            out.push(self.vector(text));
        }
        Ok(out)
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        Some(words(text).count())
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(|w| w.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase).collect())
}

/// A light cut of English endings; it only needs to be the same for queries and documents.
fn stem(word: &str) -> &str {
    if word.len() < 5 || !word.is_ascii() {
        return word;
    }
    for (ending, keep) in
        [("ingly", 3), ("edly", 3), ("ness", 3), ("ing", 4), ("ies", 3), ("ed", 4), ("es", 3), ("ly", 4)]
    {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.len() >= keep
        {
            return rest.strip_suffix('e').unwrap_or(rest);
        }
    }
    let cut = word.strip_suffix('s').filter(|w| !w.ends_with('s')).unwrap_or(word);
    cut.strip_suffix('e').unwrap_or(cut)
}

/// Character pieces of length 4 of a word with its borders; words of up to three characters have none.
fn grams(word: &str) -> Vec<String> {
    let chars: Vec<char> = std::iter::once('<').chain(word.chars()).chain(std::iter::once('>')).collect();
    if chars.len() < 6 {
        return Vec::new();
    }
    chars.windows(4).map(|w| w.iter().collect()).collect()
}

fn hash(kind: u8, bytes: &[u8]) -> u64 {
    let mut h = 0xcbf2_9ce4_8422_2325u64 ^ u64::from(kind);
    for b in bytes {
        h = (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(h)
}

/// Spreads the bits of a hash (the finaliser of MurmurHash3).
const fn mix(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

fn unit(v: &mut [f32]) {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 && norm.is_finite() {
        v.iter_mut().for_each(|x| *x /= norm);
    } else {
        // A text without words still needs a direction; this one is near nothing in particular.
        v.fill(0.0);
        v[0] = 1.0;
    }
}

#[cfg(test)]
mod tests;
