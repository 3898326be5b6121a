//! What was found, as text: a JSON object a line for programs, a table for people.
//!
//! Values come from strangers (a log line, a MISP event), so nothing in the table
//! reaches the terminal that could move its cursor or turn its text around.

use crate::cache::context;
use crate::printable::printable;
use serde::{Serialize, Serializer};
use std::fmt::Write as _;
use std::io::{self, Write};

/// One event that lists a value, and under which key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Match {
    /// MISP's event id.
    pub event_id: String,
    /// MISP's attribute type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key that answered; bytes that are not UTF-8 become U+FFFD.
    pub key: String,
    /// What follows the type in the value, as it stands there.
    #[serde(skip)]
    pub fields: String,
    /// The same by name, see [`Found::name_fields`].
    #[serde(serialize_with = "as_object", skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<(&'static str, String)>,
}

fn as_object<S: Serializer>(pairs: &[(&'static str, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, text)| (name, text)))
}

/// A value and the events that list it; none, if none does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The value as it was given.
    pub value: String,
    /// Best key first.
    pub matches: Vec<Match>,
}

impl Found {
    /// Gives what the values say of the events the names of the configuration.
    pub fn name_fields(&mut self, names: &[&'static str]) {
        for m in &mut self.matches {
            m.context = context::named(&m.fields, names);
        }
    }

    /// Writes `{"value":"...","matches":[...]}` and a line end.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

/// Rows that are held before they are written: a stream without end must not fill
/// the memory, and the columns of so many rows hardly grow any more.
const BLOCK_ROWS: usize = 1000;

/// Characters of the longest cell: a URL can have thousands, and would push the
/// columns behind it out of sight.
const MAX_CELL: usize = 100;

/// The space between two columns.
const GAP: &str = "  ";

const HEADER: [&str; 6] = ["value", "event", "type", "context", "key", "link"];

/// The columns that are not always there.
const CONTEXT: usize = 3;
const LINK: usize = 5;

/// A table of matches: value, event, type, key, what the values say of the events if
/// they do, and a link where MISP's address is known. Written in aligned blocks, the
/// header once.
#[derive(Debug)]
pub struct Table {
    /// MISP's address without the slash at its end.
    misp: Option<String>,
    context: bool,
    widths: [usize; HEADER.len()],
    rows: Vec<[String; HEADER.len()]>,
    written: bool,
    values: u64,
}

impl Table {
    /// An empty table; with MISP's address each row has a link to the event, and with
    /// `context` what is said of it.
    pub fn new(misp: Option<&str>, context: bool) -> Table {
        let misp = misp.map(|url| url.trim_end_matches('/').to_owned());
        Table { misp, context, widths: HEADER.map(str::len), rows: Vec::new(), written: false, values: 0 }
    }

    /// Adds a row for each match, and writes when enough are together.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn add(&mut self, found: &Found, out: &mut impl Write) -> io::Result<()> {
        self.values += 1;
        for m in &found.matches {
            let link = self.misp.as_ref().map(|url| printable(&format!("{url}/events/view/{}", m.event_id)));
            let said: Vec<String> = m.context.iter().map(|(name, text)| format!("{name}={text}")).collect();
            let row = [
                shortened(printable(&found.value)),
                printable(&m.event_id),
                shortened(printable(&m.kind)),
                shortened(printable(&said.join("; "))),
                shortened(printable(&m.key)),
                link.unwrap_or_default(),
            ];
            for (width, cell) in self.widths.iter_mut().zip(&row) {
                *width = (*width).max(cell.chars().count());
            }
            self.rows.push(row);
            if self.rows.len() >= BLOCK_ROWS {
                self.write_rows(out)?;
            }
        }
        Ok(())
    }

    /// Writes the rest; where nothing matched, a line that says so.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        self.write_rows(out)?;
        match (self.written, self.values) {
            (true, _) => Ok(()),
            (false, 0) => writeln!(out, "no value to look up"),
            (false, 1) => writeln!(out, "no event lists this value"),
            (false, n) => writeln!(out, "no event lists any of these {n} values"),
        }
    }

    /// Writes the rows that are held, so that nobody has to wait for them.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write_rows(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut text = String::new();
        if !self.written {
            self.line(&HEADER, &mut text);
        }
        for row in &self.rows {
            self.line(row, &mut text);
        }
        self.rows.clear();
        self.written = true;
        out.write_all(text.as_bytes())
    }

    /// One row, padded up to its last column.
    fn line(&self, cells: &[impl AsRef<str>; HEADER.len()], text: &mut String) {
        let last = if self.misp.is_some() { LINK } else { LINK - 1 };
        for (i, (cell, width)) in cells.iter().zip(self.widths).enumerate().take(last) {
            if i != CONTEXT || self.context {
                let _ = write!(text, "{:width$}{GAP}", cell.as_ref());
            }
        }
        text.push_str(cells[last].as_ref());
        text.push('\n');
    }
}

/// The cell, cut in the middle if it is over [`MAX_CELL`]: beginning and end tell
/// more than the beginning alone.
fn shortened(cell: String) -> String {
    let length = cell.chars().count();
    if length <= MAX_CELL {
        return cell;
    }
    let head = (MAX_CELL - 3) / 2;
    let tail = MAX_CELL - 3 - head;
    cell.chars().take(head).chain("...".chars()).chain(cell.chars().skip(length - tail)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(value: &str, matches: &[(&str, &str, &str)]) -> Found {
        let one = |(event, kind, key): &(&str, &str, &str)| Match {
            event_id: (*event).into(),
            kind: (*kind).into(),
            key: (*key).into(),
            fields: "Network%20activity#tlp:red".into(),
            context: Vec::new(),
        };
        Found { value: value.into(), matches: matches.iter().map(one).collect() }
    }

    fn table(misp: Option<&str>, all: &[Found]) -> String {
        let mut out = Vec::new();
        let mut table = Table::new(misp, all.iter().any(|f| f.matches.iter().any(|m| !m.context.is_empty())));
        for found in all {
            table.add(found, &mut out).unwrap();
        }
        table.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_lines() {
        let mut out = Vec::new();
        found("1.2.3.4", &[("12", "ip-dst", "misp-ip:1.2.3.4")]).write_json(&mut out).unwrap();
        found("a\n\"b", &[]).write_json(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"value\":\"1.2.3.4\",\"matches\":[{\"event_id\":\"12\",\"type\":\"ip-dst\",\"key\":\"misp-ip:1.2.3.4\"}]}\n\
             {\"value\":\"a\\n\\\"b\",\"matches\":[]}\n"
        );
    }

    #[test]
    fn a_table_for_people() {
        let all = [
            found("1.2.3.4", &[("12", "ip-dst", "misp-ip:1.2.3.4"), ("7", "ip-src|port", "misp-cidr:1.2.0.0/16")]),
            found("nowhere.example", &[]),
            found("evil.example.com", &[("1200", "domain", "misp-domain:example.com")]),
        ];
        assert_eq!(
            table(None, &all),
            "value             event  type         key\n\
             1.2.3.4           12     ip-dst       misp-ip:1.2.3.4\n\
             1.2.3.4           7      ip-src|port  misp-cidr:1.2.0.0/16\n\
             evil.example.com  1200   domain       misp-domain:example.com\n"
        );
        assert_eq!(
            table(Some("https://misp.example/"), &all[..1]),
            "value    event  type         key                   link\n\
             1.2.3.4  12     ip-dst       misp-ip:1.2.3.4       https://misp.example/events/view/12\n\
             1.2.3.4  7      ip-src|port  misp-cidr:1.2.0.0/16  https://misp.example/events/view/7\n"
        );
    }

    #[test]
    fn what_the_values_say() {
        let mut one = found("1.2.3.4", &[("12", "ip-dst", "misp-ip:1.2.3.4")]);
        one.name_fields(&["category", "tlp", "org"]);
        let mut out = Vec::new();
        one.write_json(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"value\":\"1.2.3.4\",\"matches\":[{\"event_id\":\"12\",\"type\":\"ip-dst\",\"key\":\"misp-ip:1.2.3.4\",\
             \"context\":{\"category\":\"Network activity\",\"tlp\":\"tlp:red\"}}]}\n"
        );
        assert_eq!(
            table(None, &[one]),
            "value    event  type    context                                 key\n\
             1.2.3.4  12     ip-dst  category=Network activity; tlp=tlp:red  misp-ip:1.2.3.4\n"
        );
    }

    #[test]
    fn nothing_found() {
        assert_eq!(table(None, &[]), "no value to look up\n");
        assert_eq!(table(None, &[found("x", &[])]), "no event lists this value\n");
        assert_eq!(table(None, &[found("x", &[]), found("y", &[])]), "no event lists any of these 2 values\n");
    }

    #[test]
    fn long_cells_are_cut_in_the_middle() {
        let value = format!("http://a.example/{}end", "ü".repeat(5000));
        let text = table(None, &[found(&value, &[("1", "url", "misp-url:sha256:00")])]);
        let row = text.lines().nth(1).unwrap();
        assert!(row.starts_with("http://a.example/ü") && row.contains("...ü") && row.contains("üend  1 "));
        assert_eq!(row.chars().count(), MAX_CELL + 2 + 5 + 2 + 4 + 2 + "misp-url:sha256:00".len());
    }

    #[test]
    fn a_stream_is_written_in_blocks() {
        let mut out = Vec::new();
        let mut table = Table::new(None, false);
        for _ in 0..BLOCK_ROWS {
            table.add(&found("x", &[("1", "url", "misp-url:x")]), &mut out).unwrap();
        }
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), BLOCK_ROWS + 1);
        table.finish(&mut out).unwrap();
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), BLOCK_ROWS + 1);
    }

    proptest! {
        /// Whatever was looked up: one line a match, nothing to obey in it.
        #[test]
        fn no_value_breaks_the_table(value in "(?s).{0,150}", kind in "(?s).{1,10}", key in "(?s).{0,30}") {
            let text = table(Some("https://misp.example"), &[found(&value, &[("1", &kind, &key), ("2", &kind, &key)])]);
            prop_assert_eq!(text.lines().count(), 3);
            prop_assert!(text.lines().all(|line| printable(line) == line));
        }

        #[test]
        fn json_can_be_read_back(value in "(?s).{0,50}") {
            let mut out = Vec::new();
            found(&value, &[("1", "url", &value)]).write_json(&mut out).unwrap();
            let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(read["matches"][0]["key"].as_str(), Some(value.as_str()));
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
        }
    }
}
