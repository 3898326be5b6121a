//! Every command line in the documentation is one that the program takes: the
//! command exists, and so do its flags. The same for the targets of `make`.
//!
//! Knows how command lines are written in our pages, in shells, cron tables, units
//! and pipelines; not what the commands do.

use super::{fences, manual, manuals};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use misp2memcached::cli::Cli;
use std::path::Path;

/// Fenced blocks in which somebody may type: none, or one of these words behind the fence.
const TYPED: [&str; 4] = ["", "console", "ini", "sh"];

/// Words that may stand before a command.
const BEFORE: [&str; 8] = ["$", "sudo", "if", "then", "while", "do", "!", "exec"];

/// Where a command stands: `docs/operations.md:12`.
type Place = String;

/// The simple commands of a line, as a shell parts it: quotes taken off, redirections
/// and comments left out. What is in a quoted word with a path of ours in it (a
/// pipeline's `command => "..."`) is parted too.
pub(super) fn parted(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut command, mut word) = (Vec::new(), Vec::new(), None::<String>);
    let mut letters = line.chars().peekable();
    let end_word = |word: &mut Option<String>, command: &mut Vec<String>, all: &mut Vec<Vec<String>>| match word.take()
    {
        Some(text) if text.contains("/bin/misp2memcached ") => all.extend(parted(&text)),
        Some(text) => command.push(text),
        None => {}
    };
    while let Some(c) = letters.next() {
        match c {
            '\'' | '"' => {
                let inside: String = letters.by_ref().take_while(|d| *d != c).collect();
                word.get_or_insert_default().push_str(&inside);
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            '#' if word.is_none() => break,
            ' ' | '\t' => {
                end_word(&mut word, &mut command, &mut all);
                // Two blanks part a command from what is said of it; in a cron table they stand before it.
                if letters.peek() == Some(&' ') && command.iter().any(|w: &String| is_ours(w)) {
                    break;
                }
            }
            '|' | ';' | '&' | '(' | ')' => {
                end_word(&mut word, &mut command, &mut all);
                all.push(std::mem::take(&mut command));
            }
            '>' | '<' => {
                // `2>`: the number is no argument. The file behind it is none either.
                word = word.filter(|w| !w.chars().all(|d| d.is_ascii_digit()));
                end_word(&mut word, &mut command, &mut all);
                all.push(std::mem::take(&mut command));
                command.push("a file and what follows it".to_owned());
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    end_word(&mut word, &mut command, &mut all);
    all.push(command);
    all
}

fn is_ours(word: &str) -> bool {
    word == "misp2memcached" || word.ends_with("/bin/misp2memcached")
}

/// What is behind our name in a command, if it is ours.
pub(super) fn arguments(command: &[String]) -> Option<Vec<String>> {
    let command: Vec<&str> = command.iter().map(|w| w.strip_prefix("ExecStart=").unwrap_or(w)).collect();
    // A path is ours wherever it stands; a bare name may be a user, a unit or a package.
    let path = command.iter().position(|w| w.ends_with("/bin/misp2memcached"));
    let first = command.iter().position(|w| !BEFORE.contains(w) && !is_variable(w))?;
    let at = path.or_else(|| (command[first] == "misp2memcached").then_some(first))?;
    // `install FILE /usr/bin/misp2memcached`: a file, as everything behind other programs but cron's.
    let started = at == first || command[first].starts_with(['*', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    started.then(|| command[at + 1..].iter().map(|w| (*w).to_owned()).collect())
}

fn is_variable(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || "_0123456789".contains(c)))
}

/// The lines of a page in which somebody types, with their numbers.
fn typed_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    for (info, content, first) in fences(text).1 {
        if !TYPED.contains(&info.as_str()) {
            continue;
        }
        let mut continued = String::new();
        for (i, line) in content.lines().enumerate() {
            if info == "console" && !line.starts_with("$ ") {
                continue;
            }
            continued += line.trim_end_matches('\\');
            if !line.ends_with('\\') {
                lines.push((first + i, std::mem::take(&mut continued)));
            }
        }
    }
    // Indented by four: not within a fence, and there no list of ours is indented so far.
    let mut fenced = false;
    for (i, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && let Some(typed) = line.strip_prefix("    ") {
            lines.push((i + 1, typed.to_owned()));
        }
    }
    lines
}

/// All commands in blocks, with where they stand.
fn typed_commands() -> Vec<(Place, Vec<String>)> {
    let mut all = Vec::new();
    for (path, text) in manuals() {
        for (line, typed) in typed_lines(&text) {
            all.extend(parted(&typed).into_iter().map(|command| (place(&path, line), command)));
        }
    }
    all
}

fn place(path: &Path, line: usize) -> Place {
    format!("{}:{line}", path.display())
}

/// The code in running text, with its line.
fn spans(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut all = Vec::new();
    for (i, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && !line.starts_with("    ") {
            all.extend(line.split('`').skip(1).step_by(2).map(|span| (i + 1, span.replace("\\|", "|"))));
        }
    }
    all
}

/// Whether the program takes this. A page may name a command without its values.
pub(super) fn taken(arguments: &[String], values_needed: bool) -> Result<(), String> {
    let all = std::iter::once("misp2memcached".to_owned()).chain(arguments.iter().cloned());
    match Cli::try_parse_from(all).map_err(|e| (e.kind(), e.to_string())) {
        Ok(_) | Err((ErrorKind::DisplayHelp | ErrorKind::DisplayVersion, _)) => Ok(()),
        Err((ErrorKind::MissingRequiredArgument, _)) if !values_needed => Ok(()),
        Err((_, words)) => Err(words),
    }
}

#[test]
fn every_command_line_is_taken() {
    let mut tried = 0;
    for (place, command) in typed_commands() {
        if let Some(arguments) = arguments(&command) {
            taken(&arguments, true).unwrap_or_else(|e| panic!("{place}: {command:?}: {e}"));
            tried += 1;
        }
    }
    assert!(tried >= 30, "{tried}");
}

/// `misp2memcached lookup -`, `load --full` and the like in running text.
#[test]
fn every_command_that_is_mentioned_is_taken() {
    let commands: Vec<String> = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut tried = 0;
    for (path, text) in manuals() {
        for (line, span) in spans(&text) {
            for command in parted(&span) {
                let short = command.first().is_some_and(|w| commands.contains(w)) && span.contains(" --");
                let behind = if short { Some(command.clone()) } else { arguments(&command) };
                let Some(mut arguments) = behind else { continue };
                // `completions SHELL`: a word for a word.
                arguments.retain(|w| w != "SHELL");
                taken(&arguments, false).unwrap_or_else(|e| panic!("{}: `{span}`: {e}", place(&path, line)));
                tried += 1;
            }
        }
    }
    assert!(tried >= 45, "{tried}");
}

#[test]
fn every_target_of_make_exists() {
    let makefile = manual("Makefile");
    let mut tried = 0;
    let mut exists = |place: &str, command: &[String]| {
        let words: Vec<&String> = command.iter().filter(|w| !BEFORE.contains(&w.as_str())).collect();
        if words.first().is_none_or(|w| *w != "make") {
            return;
        }
        for target in words[1..].iter().filter(|w| !is_variable(w) && !w.starts_with('-')) {
            assert!(makefile.contains(&format!("\n{target}:")), "{place}: make {target}");
            tried += 1;
        }
    };
    for (place, command) in typed_commands() {
        exists(&place, &command);
    }
    for (path, text) in manuals() {
        for (line, span) in spans(&text).iter().filter(|(_, span)| span.starts_with("make ")) {
            // `make TARGET`, and `make` alone in the Makefile's own words.
            for command in parted(span).iter().filter(|c| !c.contains(&"TARGET".to_owned())) {
                exists(&place(&path, *line), command);
            }
        }
    }
    assert!(tried >= 8, "{tried}");
}

#[test]
fn what_is_wrong_is_noticed() {
    let refused = |line: &str| {
        let commands: Vec<_> = parted(line).iter().filter_map(|c| arguments(c)).collect();
        assert_eq!(commands.len(), 1, "{line}: {commands:?}");
        taken(&commands[0], true).is_err()
    };
    assert!(refused("misp2memcached load --ful"));
    assert!(refused("5 3 * * *  root  /usr/local/bin/misp2memcached --quite load"));
    assert!(refused("ExecStart=/usr/bin/misp2memcached folow"));
    assert!(refused("tail -F dns.log | misp2memcached look-up -"));
    assert!(refused("pipe { command => \"/usr/local/bin/misp2memcached --quiet lookup --jsn -\" }"));
    assert!(refused("MISP_KEY=x sudo misp2memcached chek 2> /dev/null"));
    assert!(!refused("misp2memcached lookup --json ...        one JSON object a line"));
    assert!(!refused("if misp2memcached lookup 198.51.100.7 >/dev/null; then ring; fi"));
    // A user, a file, a word in quotes: no commands.
    for line in ["chown misp2memcached FILE", "install FILE /usr/bin/misp2memcached", "say 'misp2memcached load --ful'"]
    {
        assert!(parted(line).iter().all(|c| arguments(c).is_none()), "{line}");
    }
}
