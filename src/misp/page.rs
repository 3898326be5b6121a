//! Does the count of rows agree with what MISP says? Pure.
//!
//! With a limit MISP gives no total; `X-Result-Count` is limit + 1 on a full page,
//! the number of rows on a short one, and 1 past the end. Rows that a warninglist
//! or a decaying model drops are dropped after the page was cut and counted in
//! `X-Skipped-Elements-Count`, so an empty page may be followed by full ones
//! (recordings `page_*`, `warninglist_enforce_limit3_*`).

/// What is known of a page when its JSON has ended.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The limit that was asked for.
    pub limit: u64,
    /// Rows in the answer.
    pub rows: u64,
    /// `X-Skipped-Elements-Count`.
    pub skipped: u64,
    /// `X-Result-Count`.
    pub result_count: Option<u64>,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Ask for the next page.
    Page,
    /// This was the last one.
    End,
}

impl Page {
    /// Proves the page whole and tells whether another follows.
    ///
    /// # Errors
    /// What does not agree.
    pub fn check(self) -> Result<Next, String> {
        let Page { limit, rows, skipped, result_count } = self;
        let Some(count) = result_count else {
            return Err("it has no X-Result-Count header; does a proxy before MISP remove it?".into());
        };
        let cut = rows.saturating_add(skipped);
        if cut > limit {
            return Err(format!("{cut} rows came where {limit} were asked for"));
        }
        if cut == limit && count == limit + 1 {
            return Ok(Next::Page);
        }
        if cut < limit && (count == cut || (cut == 0 && count == 1)) {
            return Ok(Next::End);
        }
        Err(format!("X-Result-Count is {count} with {rows} rows, {skipped} skipped, {limit} asked for"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: u64, rows: u64, skipped: u64, count: u64) -> Result<Next, String> {
        Page { limit, rows, skipped, result_count: Some(count) }.check()
    }

    /// The pages of the recordings.
    #[test]
    fn recorded() {
        assert_eq!(page(10, 10, 0, 11), Ok(Next::Page)); // page_limit10_p1
        assert_eq!(page(10, 3, 0, 3), Ok(Next::End)); // page_limit10_p5
        assert_eq!(page(10, 0, 0, 1), Ok(Next::End)); // page_limit10_p6
        assert_eq!(page(2, 2, 0, 3), Ok(Next::Page)); // page_exact_multiple_last
        assert_eq!(page(2, 0, 0, 1), Ok(Next::End)); // page_exact_multiple_past
        assert_eq!(page(3, 0, 3, 4), Ok(Next::Page)); // warninglist_enforce_limit3_p1
        assert_eq!(page(1000, 0, 0, 0), Ok(Next::End)); // empty_result
        assert_eq!(page(100, 1, 8, 9), Ok(Next::End)); // warninglist_enforce
    }

    #[test]
    fn lies() {
        assert!(page(10, 9, 0, 11).is_err());
        assert!(page(10, 10, 0, 10).is_err());
        assert!(page(10, 3, 0, 4).is_err());
        assert!(page(10, 11, 0, 11).is_err());
        assert!(page(10, 0, 0, 5).is_err());
        assert!(page(10, 1, u64::MAX, 1).is_err(), "a sum that wraps around to an empty page");
        assert!(Page { limit: 10, rows: 3, skipped: 0, result_count: None }.check().is_err());
    }
}
