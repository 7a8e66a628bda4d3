//! Golden vectors and properties of the built-in embedder.

use proptest::prelude::*;

use super::*;

fn embed(text: &str) -> Vec<f32> {
    let out = HashedEmbedder::default().embed(&[text], EmbedKind::Query, Deadline::after_ms(60_000)).unwrap();
    out.into_iter().next().unwrap()
}

fn cos(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[test]
fn common_words_are_sorted() {
    assert!(COMMON.windows(2).all(|w| w[0] < w[1]));
}

#[test]
fn golden_bits_do_not_change() {
    // A changed sum means that stored vectors no longer match new ones: give the model a new name instead.
    let v = embed("Deadlock found when trying to get lock; naïve 表 json_extract");
    let sum = v.iter().fold(0u64, |h, x| mix(h ^ u64::from(x.to_bits())));
    assert_eq!(format!("{sum:016x}"), GOLDEN);
}

const GOLDEN: &str = "568404acebf6d181";

#[test]
fn related_words_are_nearer_than_unrelated() {
    let q = embed("replication lag on the replica");
    assert!(
        cos(&q, &embed("lagging replicas replicate late")) > cos(&q, &embed("apple pie with cream")) + 0.05
    );
    assert!(cos(&q, &q) > 0.999);
}

#[test]
fn dimension_is_bounded() {
    assert!(HashedEmbedder::new(63).is_err());
    assert!(HashedEmbedder::new(8193).is_err());
    assert_eq!(HashedEmbedder::new(64).unwrap().info().dim, 64);
}

proptest! {
    #[test]
    fn every_text_has_a_unit_vector(text in "\\PC{0,80}") {
        let v = embed(&text);
        prop_assert!(v.iter().all(|x| x.is_finite()));
        prop_assert!((cos(&v, &v) - 1.0).abs() < 1e-4);
    }
}
