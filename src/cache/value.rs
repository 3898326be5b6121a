//! Values: `EVENTID#TYPE[#CONTEXT][,...]`, by event id and then by type.
//!
//! Readers that know more fields than two (separated by further `#`) and readers
//! that know two agree on the first two; so entries are compared by these. What the
//! further fields say is for [`super::context`] and MISP's side to know.

use super::context::MAX_CONTEXT;
use super::encode::push_number;
use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

/// One entry of a value: an event and the attribute type it lists the indicator as.
/// Two entries are the same if these are, whatever their context.
#[derive(Debug, Clone, Copy)]
pub struct Tag<'a> {
    /// MISP's event id.
    pub event: u64,
    /// MISP's attribute type.
    pub kind: &'a str,
    /// What follows the type and a `#`; empty: nothing.
    pub context: &'a str,
}

impl PartialEq for Tag<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.event == other.event && self.kind == other.kind
    }
}

impl Eq for Tag<'_> {}

impl Hash for Tag<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.event, self.kind).hash(state);
    }
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
        let (event, rest) = std::str::from_utf8(entry).ok()?.split_once('#')?;
        let (kind, context) = rest.split_once('#').unwrap_or((rest, ""));
        // Another program's: ours is short, and escaped.
        let ours = context.len() <= MAX_CONTEXT && context.bytes().all(|b| b.is_ascii_graphic());
        let context = if ours { context } else { "" };
        (!kind.is_empty()).then_some(Tag { event: event.parse().ok()?, kind, context })
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
    // Of the same entry twice one context stays, always the same one.
    tags.sort_unstable_by(|a, b| a.cmp(b).then_with(|| b.context.cmp(a.context)));
    tags.dedup();
    let mut first = tags.len();
    let mut bytes = 0;
    while first > 0 {
        let tag = &tags[first - 1];
        let context = if tag.context.is_empty() { 0 } else { 1 + tag.context.len() };
        let more = digits(tag.event) + 1 + tag.kind.len() + context + usize::from(bytes > 0);
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
        if !tag.context.is_empty() {
            out.push(b'#');
            out.extend_from_slice(tag.context.as_bytes());
        }
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
        let tags: Vec<Tag> = parse(b"hello,#x,7#,8#md5#Payload delivery,-1#md5,\xff#a,9#md5#a%20b##c").collect();
        let context: Vec<&str> = tags.iter().map(|t| t.context).collect();
        assert_eq!(tags, [Tag { event: 8, kind: "md5", context: "" }, Tag { event: 9, kind: "md5", context: "" }]);
        assert_eq!(context, ["", "a%20b##c"], "no blank is ours");
        assert_eq!(parse(b"").count(), 0);
    }

    #[test]
    fn near_the_limit_the_newest_stay() {
        let mut tags: Vec<Tag> = (1..=100).map(|event| Tag { event, kind: "md5", context: "" }).collect();
        let (value, left_out) = render(&mut tags, 13);
        assert_eq!((value.as_slice(), left_out), (&b"99#md5,100#md5"[7..], 99));
        let (value, left_out) = render(&mut tags, 14);
        assert_eq!((value.as_slice(), left_out), (&b"99#md5,100#md5"[..], 98));
    }

    proptest! {
        #[test]
        fn round_trip(events in proptest::collection::vec((1u64..5000, "[a-z|-]{1,12}", "[a-z%#]{0,9}"), 0..40)) {
            let mut tags: Vec<Tag> = events.iter().map(|(event, kind, context)| Tag { event: *event, kind, context }).collect();
            let (value, left_out) = render(&mut tags, 1 << 20);
            prop_assert_eq!(left_out, 0);
            prop_assert!(value.is_ascii());
            let all = |t: &Tag<'_>| (t.event, t.kind.to_owned(), t.context.to_owned());
            prop_assert_eq!(parse(&value).map(|t| all(&t)).collect::<Vec<_>>(), tags.iter().map(all).collect::<Vec<_>>());
        }
    }
}
