//! What a digest ignores, and what it must not ignore.

use super::*;

fn fp(sql: &str) -> Fingerprint {
    fingerprint(sql.as_bytes(), Dialect::MySql, SqlMode::default(), 42)
}

fn same(a: &str, b: &str) {
    let (x, y) = (fp(a), fp(b));
    assert_eq!((x.digest, x.structure), (y.digest, y.structure), "{a}\n{b}");
}

fn differ(a: &str, b: &str) {
    assert_ne!(fp(a).digest, fp(b).digest, "{a}\n{b}");
}

#[test]
fn literals_blanks_case_and_comments_do_not_matter() {
    same("select a from t where b = 'x'", "SELECT a\n FROM t /* c */ WHERE b='a longer one'");
    same("select a from t where b = 5", "select a from t where b = -17.5e3");
    same("select a from t limit 5", "select a from t limit 500");
    same("select A from T", "select a from t");
}

#[test]
fn lists_and_rows_fold() {
    same("select a from t where b in (1)", "select a from t where b in (1, 2, 3)");
    same("insert into t values (1, 'a')", "insert into t values (2, 'b'), (3, 'c'), (4, 'd')");
    same("insert into t values (1, now())", "insert into t values (1, now()), (2, now())");
    same("insert into t (a, b) values (1, null)", "insert into t (a, b) values (1, 'x')");
    differ("insert into t values (1, now())", "insert into t values (1, now()), (2, sleep(5))");
    differ("select a from t where b in (1)", "select a from t where b in (1, c)");
}

#[test]
fn an_added_tautology_changes_the_digest() {
    let clean = "select a from t where b = 'x' and c = 1";
    for attack in [
        "select a from t where b = 'x' and c = 1 or 1=1",
        "select a from t where b = '' or 'a'='a' and c = 1",
        "select a from t where b = 'x' or 1",
        "select a from t where b = 'x' or not 0",
    ] {
        differ(clean, attack);
    }
    differ("select a from t where b = 1 or 1=1", "select a from t where b = 1 or 1=2");
    differ("select a from t where b = 1 or 1", "select a from t where b = 1 or 0");
}

#[test]
fn the_key_sees_what_rules_see() {
    let (a, b) = (fp("select a from t where b = 1 or 2*3=6"), fp("select a from t where b = 1 or 2*3=7"));
    assert_ne!(a.key, b.key);
    let (a, b) = (fp("select a from t union select 1,2"), fp("select a from t union select 3,2"));
    assert_ne!(a.key, b.key);
    let (a, b) = (fp("select a from t where b = 'x'"), fp("select a from t where b = 'y'"));
    assert_eq!(a.key, b.key);
    let (a, b) = (fp("select a from t where b = 'x'"), fp("select a from t where b = '<script>'"));
    assert_ne!(a.key, b.key);
}

#[test]
fn literal_kinds_and_tails_belong_to_the_structure() {
    let structure = |s: &str| fp(s).structure;
    assert_ne!(structure("select a from t where b = 1"), structure("select a from t where b = '1'"));
    assert_ne!(structure("select a from t where b = 1"), structure("select a from t where b = 1 -- x"));
}

#[test]
fn structures_are_keyed_and_digests_are_not() {
    let with = |key| fingerprint(b"select 1", Dialect::MySql, SqlMode::default(), key);
    assert_eq!(with(1).digest, with(2).digest);
    assert_ne!(with(1).structure, with(2).structure);
}
