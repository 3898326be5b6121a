//! `man`: the manual pages, made from the command line's own definition: one with every
//! command and its flags, and one for each command. How they read in a terminal is
//! man's affair.

use super::print;
use crate::cli::Cli;
use crate::error::{Error, Kind, Result};
use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// The section of all pages: user commands.
const SECTION: &str = "1";

/// What the top of every page says.
const MANUAL: &str = "User Commands";

/// Prints the page of the program, or writes all pages into a directory.
pub(super) fn run(directory: Option<&Path>) -> Result<u8> {
    let no_page = |e: io::Error| Error::new(Kind::Bug, format!("the manual page cannot be made: {e}"));
    let Some(directory) = directory else {
        return print(&page().map_err(no_page)?);
    };
    let mut pages = vec![(file_name(&Cli::command()), page().map_err(no_page)?)];
    for command in commands() {
        pages.push((file_name(&command), page_of(&command).map_err(no_page)?));
    }
    for (name, page) in pages {
        let path = directory.join(name);
        fs::write(&path, page)
            .map_err(|e| Error::new(Kind::CannotWrite, format!("--directory: {}: {e}", path.display())))?;
    }
    Ok(0)
}

/// Every command, with the flags of all; those below a command stand behind it.
fn commands() -> Vec<clap::Command> {
    fn below(command: &clap::Command, found: &mut Vec<clap::Command>) {
        for one in command.get_subcommands() {
            found.push(one.clone());
            below(one, found);
        }
    }
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut found = Vec::new();
    below(&cli, &mut found);
    found
}

/// The name that a command's page goes by, such as `misp2memcached-load`.
fn page_name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn file_name(command: &clap::Command) -> String {
    format!("{}.{SECTION}", page_name(command))
}

/// The first line of a page. It has no date: the same program makes the same page.
fn title(out: &mut Vec<u8>, command: &clap::Command) -> io::Result<()> {
    let (name, version) = (page_name(command), env!("CARGO_PKG_VERSION"));
    writeln!(out, ".TH {name} {SECTION} \"\" \"misp2memcached {version}\" \"{MANUAL}\"")
}

/// The page of the program, in roff.
fn page() -> io::Result<Vec<u8>> {
    let cli = Cli::command();
    let whole = Man::new(cli.clone());
    let mut page = Vec::new();
    title(&mut page, &cli)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    page.write_all(b".SH COMMANDS\n")?;
    for command in cli.get_subcommands() {
        let name = command.get_name();
        // Each command knows --help; the flags of all commands stand above.
        let one = Man::new(command.clone().bin_name(format!("{} {name}", cli.get_name())).disable_help_flag(true));
        writeln!(page, ".SS {name}")?;
        page.extend(body(|out| one.render_synopsis_section(out))?);
        page.write_all(b".PP\n")?;
        page.extend(body(|out| one.render_description_section(out))?);
        page.extend(body(|out| one.render_options_section(out))?);
    }
    page.extend(after(&cli));
    let names = commands();
    page.extend(see_also(names.iter().map(page_name)));
    whole.render_version_section(&mut page)?;
    Ok(page)
}

/// The page of one command, in roff.
fn page_of(command: &clap::Command) -> io::Result<Vec<u8>> {
    let one = Man::new(command.clone());
    let mut page = Vec::new();
    title(&mut page, command)?;
    one.render_name_section(&mut page)?;
    one.render_synopsis_section(&mut page)?;
    one.render_description_section(&mut page)?;
    one.render_options_section(&mut page)?;
    let after = after(command);
    if !String::from_utf8_lossy(&after).contains("EXIT STATUS") {
        page.extend(b".SH \"EXIT STATUS\"\nAs in \\fBmisp2memcached\\fR(1).\n");
    }
    page.extend(after);
    page.extend(see_also(["misp2memcached"].into_iter()));
    Ok(page)
}

/// What stands behind the flags in `--help`: each line without a margin that ends in a
/// colon, or has one behind `Exit codes`, begins a section.
fn after(command: &clap::Command) -> Vec<u8> {
    let text = command.get_after_long_help().or_else(|| command.get_after_help()).map(|t| t.to_string());
    let mut roff = Roff::new();
    let mut lines = false;
    let mut end_lines = |roff: &mut Roff, begin: bool| {
        if lines != begin {
            roff.control(if begin { "nf" } else { "fi" }, []);
            lines = begin;
        }
    };
    for line in text.iter().flat_map(|t| t.lines()) {
        let heading = line.strip_suffix(':').filter(|l| !l.starts_with(' '));
        if line.starts_with("Exit codes") {
            end_lines(&mut roff, false);
            roff.control("SH", ["EXIT STATUS"]);
            if heading != Some("Exit codes") {
                roff.text([roman(line)]);
            }
        } else if let Some(heading) = heading {
            end_lines(&mut roff, false);
            roff.control("SH", [heading.to_uppercase().as_str()]);
        } else if line.is_empty() {
            end_lines(&mut roff, false);
            roff.control("PP", []);
        } else {
            end_lines(&mut roff, line.starts_with(' '));
            roff.text([roman(line)]);
        }
    }
    end_lines(&mut roff, false);
    roff.to_roff().into_bytes()
}

fn see_also<'a>(pages: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    let mut inlines = Vec::new();
    for page in pages {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend([bold(page), roman(format!("({SECTION})"))]);
    }
    roff.text(inlines);
    roff.to_roff().into_bytes()
}

/// A section without its heading.
fn body(section: impl Fn(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    section(&mut out)?;
    let text = String::from_utf8_lossy(&out);
    let after_heading = text.split_once(".SH ").and_then(|(_, rest)| rest.split_once('\n'));
    Ok(after_heading.map(|(_, body)| body.as_bytes().to_vec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flag, or for an argument the word that stands for its value.
    fn names(command: &clap::Command) -> Vec<String> {
        let name = |argument: &clap::Arg| match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_value_names().unwrap()[0].to_string(),
        };
        command.get_arguments().map(name).collect()
    }

    fn text(page: io::Result<Vec<u8>>) -> String {
        String::from_utf8(page.unwrap()).unwrap().replace('\\', "")
    }

    /// The page once had no command's flags.
    #[test]
    fn every_command_and_flag_is_on_the_page() {
        let page = text(page());
        for command in Cli::command().get_subcommands() {
            let (_, section) = page.split_once(&format!("\n.SS {}\n", command.get_name())).unwrap();
            let section = section.split("\n.S").next().unwrap();
            for name in names(command) {
                assert!(section.contains(&name), "{name} of {}", command.get_name());
            }
            assert!(page.contains(&format!("fBmisp2memcached-{}fR(1)", command.get_name())), "{page}");
        }
        assert!(page.contains(".SH \"EXIT STATUS\"\n.nf\n") && page.contains("77  MISP refuses the key"), "{page}");
    }

    #[test]
    fn every_command_has_a_page_with_the_flags_of_all() {
        let directory = tempfile::tempdir().unwrap();
        run(Some(directory.path())).unwrap();
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1 + commands().len());
        for command in commands() {
            let page = text(fs::read(directory.path().join(file_name(&command))));
            let title = format!(".TH {} 1 ", page_name(&command));
            assert!(page.contains(&title) && page.contains("fBmisp2memcachedfR(1)"), "{page}");
            assert!(page.contains(&format!("{} - ", page_name(&command))), "{page}");
            for name in names(&command) {
                assert!(page.contains(&name), "{name} of {}", page_name(&command));
            }
            assert!(page.contains("--config"), "{page}");
            // As typed: such lines are not filled.
            let (status, examples) = page.split_once(".SH EXAMPLES\n.nf\n").unwrap_or_else(|| panic!("{page}"));
            assert!(status.contains(".SH \"EXIT STATUS\"\n") && examples.contains("\n.fi\n"), "{page}");
            assert!(examples.contains(&format!("misp2memcached {}", command.get_name())), "{page}");
        }
        let gone = run(Some(&directory.path().join("gone"))).unwrap_err();
        assert_eq!(gone.kind(), Kind::CannotWrite);
    }
}
