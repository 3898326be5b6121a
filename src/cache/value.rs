//! Values: `EVENTID#TYPE[,EVENTID#TYPE...]`, by event id and then by type.
//!
//! Readers that know more fields than two (separated by further `#`) and readers
//! that know two agree on the first two; so entries are compared by these.

use super::encode::push_number;
use std::cmp::Ordering;

/// One entry of a value: an event and the attribute type it lists the indicator as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag<'a> {
    /// MISP's event id.
    pub event: u64,
    /// MISP's attribute type.
    pub kind: &'a str,
}

impl Ord for Tag<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.event.cmp(&other.event).then_with(|| self.kind.cmp(other.kind))
    }
}

impl PartialOrd for Tag<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The entries of a value, in its order. What is no entry (a foreign writer) is left out.
pub fn parse(value: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    value.split(|b| *b == b',').filter_map(|entry| {
        let mut fields = std::str::from_utf8(entry).ok()?.split('#');
        let (event, kind) = (fields.next()?.parse().ok()?, fields.next()?);
        (!kind.is_empty()).then_some(Tag { event, kind })
    })
}

/// The value of some tags: sorted, each once. At most `limit` bytes; where that
/// is not enough the newest events (highest ids) are kept. Returns the value and
/// the number of tags left out.
pub fn render(tags: &mut Vec<Tag<'_>>, limit: usize) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let left_out = render_into(tags, limit, &mut out);
    (out, left_out)
}

/// The same, appended to `out`.
pub fn render_into(tags: &mut Vec<Tag<'_>>, limit: usize, out: &mut Vec<u8>) -> usize {
    tags.sort_unstable();
    tags.dedup();
    let mut first = tags.len();
    let mut bytes = 0;
    while first > 0 {
        let tag = &tags[first - 1];
        let more = digits(tag.event) + 1 + tag.kind.len() + usize::from(bytes > 0);
        if bytes + more > limit {
            break;
        }
        bytes += more;
        first -= 1;
    }
    out.reserve(bytes);
    for (i, tag) in tags[first..].iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_number(out, tag.event);
        out.push(b'#');
        out.extend_from_slice(tag.kind.as_bytes());
    }
    first
}

fn digits(n: u64) -> usize {
    n.checked_ilog10().unwrap_or(0) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_is_by_number_then_type() {
        let mut tags: Vec<Tag> = parse(b"12#url,9#ip-src,9#ip-dst,9#ip-src").collect();
        assert_eq!(render(&mut tags, 100).0, b"9#ip-dst,9#ip-src,12#url");
    }

    #[test]
    fn foreign_text_and_more_fields() {
        let tags: Vec<Tag> = parse(b"hello,#x,7#,8#md5#Payload delivery,-1#md5,\xff#a").collect();
        assert_eq!(tags, [Tag { event: 8, kind: "md5" }]);
        assert_eq!(parse(b"").count(), 0);
    }

    #[test]
    fn near_the_limit_the_newest_stay() {
        let mut tags: Vec<Tag> = (1..=100).map(|event| Tag { event, kind: "md5" }).collect();
        let (value, left_out) = render(&mut tags, 13);
        assert_eq!((value.as_slice(), left_out), (&b"99#md5,100#md5"[7..], 99));
        let (value, left_out) = render(&mut tags, 14);
        assert_eq!((value.as_slice(), left_out), (&b"99#md5,100#md5"[..], 98));
    }

    proptest! {
        #[test]
        fn round_trip(events in proptest::collection::vec((1u64..5000, "[a-z|-]{1,12}"), 0..40)) {
            let mut tags: Vec<Tag> = events.iter().map(|(event, kind)| Tag { event: *event, kind }).collect();
            let (value, left_out) = render(&mut tags, 1 << 20);
            prop_assert_eq!(left_out, 0);
            prop_assert!(value.is_ascii());
            prop_assert_eq!(parse(&value).collect::<Vec<_>>(), tags);
        }
    }
}
