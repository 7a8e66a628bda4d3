//! Patterns of names: globs with `*` and `?`, and LIKE; both compare exactly and in linear memory.

/// Whether `name` equals the pattern, or matches it where it holds `*` or `?`.
#[must_use]
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    if !pattern.contains(['*', '?']) {
        return pattern == name;
    }
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pi, mut ni) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while ni < n.len() {
        if pi < p.len() && p[pi] == '*' {
            star = Some((pi, ni));
            pi += 1;
        } else if pi < p.len() && (p[pi] == '?' || p[pi] == n[ni]) {
            pi += 1;
            ni += 1;
        } else if let Some((at, from)) = star {
            pi = at + 1;
            ni = from + 1;
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    p[pi..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs_and_exact_names() {
        assert!(matches("shop", "shop") && !matches("shop", "Shop") && !matches("sho", "shop"));
        assert!(matches("sh*", "shop") && matches("*", "") && matches("s?op", "shop"));
        assert!(matches("a*b*c", "axxbyyc") && !matches("a*b*c", "axxbyy"));
        assert!(matches("%", "%") && !matches("%", "x"));
    }
}
