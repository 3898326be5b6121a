//! docs/commands.md shows each command's `--help` as it prints, and what the program says
//! to common mistakes (`mistakes`, beside this). The blocks of that page are golden files:
//! after a text was changed on purpose, `UPDATE_GOLDEN=1 cargo test --test it -- docs::tour docs::mistakes`
//! writes them anew; read the difference before it is kept.
//!
//! The examples in the help are command lines that the program takes.

use super::commands::{arguments, parted, taken};
use super::{fences, manual, root};
use crate::support::program::run;
use clap::CommandFactory;
use misp2memcached::cli::Cli;
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

const PAGE: &str = "docs/commands.md";

/// One test writes the page at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// The names of the page's blocks of one kind: `load` of a block that is marked `text help load`.
pub(super) fn blocks(kind: &str) -> BTreeSet<String> {
    let marked = |(info, ..): (String, String, usize)| Some(info.strip_prefix(&format!("text {kind} "))?.to_owned());
    fences(&manual(PAGE)).1.into_iter().filter_map(marked).collect()
}

/// Compares a block of the page with what the program prints.
pub(super) fn compare(kind: &str, name: &str, printed: &str) {
    let writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let page = manual(PAGE);
    let (opening, printed) = (format!("\n```text {kind} {name}\n"), without_trailing_blanks(printed));
    let (before, rest) = page.split_once(&opening).unwrap_or_else(|| panic!("{PAGE} has no block {kind} {name}"));
    let (shown, after) = rest.split_once("```\n").unwrap();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(root().join(PAGE), format!("{before}{opening}{printed}```\n{after}")).unwrap();
        return;
    }
    drop(writing);
    assert_eq!(shown, printed, "{PAGE}, {kind} {name}: not what the program prints");
}

/// Editors take them away.
fn without_trailing_blanks(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Our commands; `help` is clap's.
fn commands() -> Vec<String> {
    let names = Cli::command().get_subcommands().map(|c| c.get_name().to_owned()).collect();
    [vec!["misp2memcached".to_owned()], names].concat()
}

fn help(command: &str) -> String {
    let arguments: &[&str] = if command == "misp2memcached" { &["--help"] } else { &[command, "--help"] };
    let finished = run(arguments, &[]);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{command}");
    finished.stdout
}

#[test]
fn the_tour_shows_what_help_prints() {
    let all = commands();
    for command in &all {
        compare("help", command, &help(command));
    }
    assert_eq!(blocks("help"), all.into_iter().collect());
}

#[test]
fn every_example_in_the_help_is_taken() {
    for command in commands() {
        let help = help(&command);
        let (_, examples) = help.split_once("\nExamples:\n").unwrap_or_else(|| panic!("{command}: no examples"));
        let mut about_it = 0;
        for line in examples.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let typed: Vec<Vec<String>> = parted(line).iter().filter_map(|c| arguments(c)).collect();
            assert!(!typed.is_empty(), "{command}: {line}");
            for arguments in typed {
                taken(&arguments, true).unwrap_or_else(|e| panic!("{command}: {line}: {e}"));
                about_it += usize::from(command == "misp2memcached" || arguments.contains(&command));
            }
        }
        assert!(about_it >= 2, "{command}: {examples}");
    }
}
