//! `lookup`: which MISP events list these values?

use crate::cache::answers::Answers;
use crate::cache::fleet::{Asked, Fleet};
use crate::cli::Lookup;
use crate::config::Config;
use crate::config::nearest::nearest;
use crate::error::{Error, Kind, Result};
use crate::indicator::Namespace;
use crate::lookup::output::Table;
use crate::lookup::{Ask, Scope, Step, Summary, read_lines, stream};
use std::io::{self, BufReader, BufWriter, ErrorKind, Write};

/// Standard input is read in pieces of this size: a batch is what has been read.
const INPUT_BYTES: usize = 256 * 1024;

/// lookup's exit code where nothing matched, as grep's.
const NOTHING_FOUND: u8 = 1;

impl Ask for Fleet {
    type Asked = Asked;

    fn begin(&mut self, keys: Vec<Vec<u8>>) -> Result<Asked> {
        self.begin_get(keys)
    }

    fn finish(&mut self, asked: Asked) -> Result<Answers> {
        asked.finish(self)
    }
}

pub(super) fn run(config: &Config, flags: &Lookup) -> Result<u8> {
    let namespace = flags.namespace.as_deref().map(namespace).transpose()?;
    let mut fleet = Fleet::open(&config.memcached)?;
    let url = (!config.misp.url.is_empty()).then_some(config.misp.url.as_str());
    let names: Vec<&'static str> = config.memcached.context.iter().map(|field| field.name()).collect();
    let show = Show { json: flags.json, url, names: &names };
    let mut out = BufWriter::new(io::stdout().lock());
    let result = if flags.values == ["-"] {
        look(&mut fleet, namespace, read_lines(BufReader::with_capacity(INPUT_BYTES, io::stdin())), show, &mut out)
    } else {
        look(&mut fleet, namespace, flags.values.iter().cloned().map(Ok), show, &mut out)
    };
    match result {
        Ok(summary) => Ok(if summary.matched > 0 { 0 } else { NOTHING_FOUND }),
        // The reader went away: it has seen what it wanted.
        Err(Stop::Closed) => Ok(0),
        Err(Stop::Error(e)) => Err(e),
    }
}

fn namespace(name: &str) -> Result<Namespace> {
    Namespace::from_name(name).filter(|n| n.is_cached()).ok_or_else(|| {
        let all: Vec<&str> = Namespace::ALL.iter().filter(|n| n.is_cached()).map(|n| n.name()).collect();
        let near = nearest(name, all.iter().copied());
        let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let text = format!("--namespace {name}: there is none of this name{hint}; there are {}", all.join(", "));
        Error::new(Kind::Usage, text)
    })
}

/// Why printing ended early.
enum Stop {
    Closed,
    Error(Error),
}

/// How matches are shown.
#[derive(Clone, Copy)]
struct Show<'a> {
    json: bool,
    /// MISP's address.
    url: Option<&'a str>,
    /// The names of what follows the type in values.
    names: &'a [&'static str],
}

/// Looks the values up and prints what was found.
fn look(
    fleet: &mut Fleet,
    namespace: Option<Namespace>,
    values: impl Iterator<Item = io::Result<String>>,
    show: Show<'_>,
    out: &mut impl Write,
) -> Result<Summary, Stop> {
    let keys = fleet.keys().clone();
    let mut table = Table::new(show.url, !show.names.is_empty());
    let mut closed = false;
    let scope = namespace.map_or(Scope::Any, Scope::Within);
    let looked = stream(fleet, &keys, scope, values, |step| {
        let written = match step {
            Step::Found(mut found) => {
                found.name_fields(show.names);
                if show.json { found.write_json(out) } else { table.add(&found, out) }
            }
            // Whoever writes the values waits for the answers.
            Step::Pause if show.json => out.flush(),
            Step::Pause => table.write_rows(out).and_then(|()| out.flush()),
        };
        written.map_err(|e| {
            closed = e.kind() == ErrorKind::BrokenPipe;
            cannot_print(&e)
        })
    });
    let finished =
        |e: io::Error| if e.kind() == ErrorKind::BrokenPipe { Stop::Closed } else { Stop::Error(cannot_print(&e)) };
    match looked {
        Ok(summary) => {
            if !show.json {
                table.finish(out).map_err(finished)?;
            }
            out.flush().map_err(finished)?;
            Ok(summary)
        }
        Err(_) if closed => Err(Stop::Closed),
        Err(e) => Err(Stop::Error(e)),
    }
}

/// The same as a text, for the demo.
pub(super) fn as_table(fleet: &mut Fleet, values: &[&str], url: &str) -> Result<String> {
    let mut out = Vec::new();
    let values = values.iter().map(|v| Ok((*v).to_owned()));
    match look(fleet, None, values, Show { json: false, url: Some(url), names: &[] }, &mut out) {
        Ok(_) | Err(Stop::Closed) => Ok(String::from_utf8_lossy(&out).into_owned()),
        Err(Stop::Error(e)) => Err(e),
    }
}

fn cannot_print(e: &io::Error) -> Error {
    Error::new(Kind::CannotWrite, format!("standard output: {e}"))
}
