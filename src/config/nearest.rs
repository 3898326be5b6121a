//! The allowed word that a wrong one was probably meant to be.

/// More than this share of the word wrong, and a suggestion would be a guess:
/// one edit in each started three letters.
const LETTERS_PER_EDIT: usize = 3;

/// The nearest of `allowed`, if one is near enough. Case and `-` for `_` count for nothing.
pub(crate) fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |w: &str| w.to_lowercase().replace('-', "_");
    let word = plain(word);
    let limit = word.chars().count().div_ceil(LETTERS_PER_EDIT);
    let (edits, best) = allowed.into_iter().map(|a| (distance(&word, &plain(a)), a)).min_by_key(|(edits, _)| *edits)?;
    (edits <= limit).then_some(best)
}

/// Letters to insert, take out, replace or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut rows = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(from[i - 1] != to[j - 1]);
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + same);
                if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances() {
        for (a, b, edits) in [("", "", 0), ("", "abc", 3), ("prot", "port", 1), ("url", "uri", 1), ("host", "hosts", 1)]
        {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn suggestions() {
        let keys = ["url", "token", "token_file", "page_size", "timeout"];
        for (word, meant) in [
            ("pagesize", Some("page_size")),
            ("page-size", Some("page_size")),
            ("URL", Some("url")),
            ("tokne", Some("token")),
            ("tokenfile", Some("token_file")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_distance_is_symmetric_and_zero_for_the_same(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
        }
    }
}
