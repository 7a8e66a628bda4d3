//! Likeness of statements by meaning: the embedder seam, the built-in lexical one, and the search.

use crate::keywords::hash_of;

/// Turns a normalised statement into a unit vector; may be slow, is never called on the hot path.
pub trait ThreatEmbedder: Send + Sync {
    /// The vector, or `None` when the model does not answer now.
    fn embed(&self, text: &str) -> Option<Vec<f32>>;

    /// True for embedders that only compare words: their evidence weighs less.
    fn is_lexical(&self) -> bool {
        false
    }
}

/// Dimensions of the built-in embedder.
const DIMENSIONS: usize = 512;

/// Hashed word n-grams of the normalised text; offline and deterministic.
#[derive(Debug, Default, Clone, Copy)]
pub struct LexicalEmbedder;

impl ThreatEmbedder for LexicalEmbedder {
    fn embed(&self, text: &str) -> Option<Vec<f32>> {
        let mut v = vec![0.0_f32; DIMENSIONS];
        let words: Vec<u64> =
            text.split_whitespace().map(|w| crate::digest::mix(1, hash_of(w.as_bytes()))).collect();
        let mut add = |h: u64, weight: f32| {
            let sign = if h >> 63 == 0 { weight } else { -weight };
            v[(h >> 32) as usize % DIMENSIONS] += sign;
        };
        for (i, w) in words.iter().enumerate() {
            add(*w, 1.0);
            if let Some(n) = words.get(i + 1) {
                add(crate::digest::mix(*w, *n), 1.5);
            }
            if let (Some(n), Some(m)) = (words.get(i + 1), words.get(i + 2)) {
                add(crate::digest::mix(crate::digest::mix(*w, *n), *m), 2.0);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
        if norm == 0.0 {
            return None;
        }
        v.iter_mut().for_each(|x| *x /= norm);
        Some(v)
    }

    fn is_lexical(&self) -> bool {
        true
    }
}

/// Cosine of two unit vectors; 0 if their lengths differ or a value is not finite.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return 0.0;
    }
    let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    if dot.is_finite() { dot.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_statements_are_near() {
        let e = LexicalEmbedder;
        let v = |s: &str| e.embed(s).unwrap();
        let a = v("SELECT * FROM users WHERE username = ? OR <true>");
        let b = v("SELECT * FROM users WHERE username = ? OR <true> LIMIT ?");
        let c = v("INSERT INTO orders VALUES (?+)");
        assert!(cosine(&a, &b) > 0.8);
        assert!(cosine(&a, &c).abs() < 0.3);
        assert!((cosine(&a, &a) - 1.0).abs() < 1e-5);
        assert_eq!(cosine(&a, &[1.0]), 0.0);
        assert!(e.embed("  ").is_none());
    }
}
