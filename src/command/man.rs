//! `man`: one manual page with every command and its flags, made from the command
//! line's own definition.

use crate::cli::Cli;
use clap::CommandFactory;
use clap_mangen::Man;
use std::io::{self, Write};

/// The page in roff.
pub(super) fn page() -> io::Result<Vec<u8>> {
    let cli = Cli::command();
    let whole = Man::new(cli.clone());
    let mut page = Vec::new();
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    // A list of further pages would stand here otherwise, and there are none.
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
    page.write_all(b".SH \"EXIT STATUS\"\n")?;
    page.extend(body(|out| whole.render_extra_section(out))?);
    whole.render_version_section(&mut page)?;
    Ok(page)
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

    /// The page once named pages such as misp2memcached-load(1), which there are not,
    /// and no command's flags.
    #[test]
    fn every_command_and_flag_is_on_the_page() {
        let page = String::from_utf8(page().unwrap()).unwrap().replace('\\', "");
        for command in Cli::command().get_subcommands() {
            let (_, section) = page.split_once(&format!("\n.SS {}\n", command.get_name())).unwrap();
            let section = section.split("\n.S").next().unwrap();
            for argument in command.get_arguments() {
                let flag = argument.get_long().map(|l| format!("--{l}"));
                let value = || argument.get_value_names().map(|names| names[0].to_string());
                let name = flag.or_else(value).unwrap();
                assert!(section.contains(&name), "{name} of {}", command.get_name());
            }
        }
        assert!(!page.contains("(1)"), "{page}");
        assert!(page.contains(".SH \"EXIT STATUS\"\n") && page.contains("77  MISP refuses the key"));
    }
}
