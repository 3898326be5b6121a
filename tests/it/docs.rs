//! The documentation against the program: links lead somewhere, configurations
//! load, exit codes, namespaces and types are those that there are. Command lines,
//! the list of dependencies and the picture of a run are looked at in files beside this.

mod commands;
mod dependencies;
mod mistakes;
mod picture;
mod tour;

use clap::CommandFactory;
use misp2memcached::cli::Cli;
use misp2memcached::config::{self, Sources};
use misp2memcached::indicator::{Category, MispType, Namespace};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Directories without documentation of ours.
const NOT_OURS: [&str; 1] = ["target"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Markdown file of the repository, with its text.
fn manuals() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) && !name.starts_with('.') {
                    directories.push(path);
                }
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() >= 9, "{found:?}");
    found
}

fn manual(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// A text without its fenced blocks, and these: info string, content, first line.
/// A fence may be indented, as in a list; its content is so too.
fn fences(text: &str) -> (String, Vec<(String, String, usize)>) {
    let (mut prose, mut blocks) = (String::new(), Vec::new());
    let mut open: Option<(String, String, usize)> = None;
    let mut indent = 0;
    for (i, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        if open.is_none() {
            indent = line.len() - line.trim_start().len();
        }
        let line = if open.is_some() { line.get(indent..).unwrap_or("") } else { line };
        match (&mut open, fence) {
            (None, Some(info)) => open = Some((info.to_owned(), String::new(), i + 2)),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, content, _)), None) => *content += &format!("{line}\n"),
            (None, None) => prose += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    (prose, blocks)
}

/// Where the links of a text lead to.
fn links(prose: &str) -> Vec<String> {
    let ends = prose.match_indices("](").map(|(at, _)| &prose[at + 2..]);
    ends.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned())).collect()
}

/// The anchors of a text's headings, made as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = fences(text).0;
    let headings =
        headings.lines().filter_map(|l| l.trim_start_matches('#').strip_prefix(' ').filter(|_| l.starts_with('#')));
    headings
        .map(|heading| {
            let kept = heading
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>();
            kept.trim().replace(' ', "-")
        })
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut followed = 0;
    for (path, text) in manuals() {
        for link in links(&fences(&text).0) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(f, a)| (f, Some(a)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link}", path.display());
            if let Some(anchor) = anchor {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{}: {link}; there are {there:?}", path.display());
            }
            followed += 1;
        }
    }
    assert!(followed >= 30, "{followed}");
}

/// A block marked `yaml` and nothing else is a configuration; other YAML says whose it is.
#[test]
fn every_configuration_loads() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("misp2memcached.yaml");
    // A part of a configuration has neither.
    let env = [("MISP_URL".to_owned(), "https://misp.example".to_owned()), ("MISP_KEY".to_owned(), "k".to_owned())];
    let mut loaded = 0;
    for (path, text) in manuals() {
        for (info, content, line) in fences(&text).1 {
            if info != "yaml" {
                continue;
            }
            fs::write(&file, &content).unwrap();
            let sources = Sources { file: Some(file.clone()), env: env.clone().into(), without_misp: false };
            if let Err(e) = config::load(&sources) {
                panic!("{}:{line}: {e}\n{content}", path.display());
            }
            loaded += 1;
        }
    }
    assert!(loaded >= 4, "{loaded}");
}

/// The smallest configuration of the README needs nothing from the environment.
#[test]
fn the_readme_s_configuration_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("misp2memcached.yaml");
    let readme = manual("README.md");
    let (_, content, _) = fences(&readme).1.into_iter().find(|(info, ..)| info == "yaml").unwrap();
    // The key that it shows says what to put there.
    let shown = "the automation key of a read-only user";
    assert!(content.contains(shown));
    fs::write(&file, content.replace(shown, "k")).unwrap();
    let loaded = config::load(&Sources { file: Some(file), ..Sources::default() }).unwrap();
    assert_eq!(loaded.config.misp.url, "https://misp.example");
}

#[test]
fn exit_codes_are_those_that_there_are() {
    let source = manual("src/error.rs");
    let mut codes: BTreeSet<u8> = source
        .lines()
        .filter_map(|l| l.trim().strip_prefix("Kind::")?.split_once("=> ")?.1.strip_suffix(',')?.parse().ok())
        .collect();
    assert!(codes.len() >= 8, "{codes:?}");
    // What is no error: done, lookup found nothing; and clap's for a bad flag.
    codes.extend([0, 1, 2]);
    let rows = |text: &str| -> Vec<(u8, String)> {
        let table = text.split_once("\n## Exit codes").unwrap().1.split("\n## ").next().unwrap().to_owned();
        let cells = |l: &str| l.split('|').map(|c| c.trim().to_owned()).collect::<Vec<_>>();
        table.lines().map(cells).filter_map(|c| Some((c.get(1)?.parse().ok()?, c.get(2)?.clone()))).collect()
    };
    let readme = rows(&manual("README.md"));
    assert_eq!(readme.iter().map(|(code, _)| *code).collect::<BTreeSet<_>>(), codes);
    // --help says the same, in nearly the same words.
    let help = Cli::command().render_long_help().to_string();
    for (code, meaning) in &readme {
        let said = help.lines().find_map(|l| l.trim().strip_prefix(&format!("{code} "))).unwrap().trim();
        let plain: String = meaning.replace("done; `lookup`: at", "done (lookup: at").replace('`', "");
        assert!(said.trim_end_matches(')').starts_with(plain.as_str()), "{code}: {said:?} and {plain:?}");
    }
    for page in ["docs/operations.md", "docs/lookup.md"] {
        for (code, _) in rows(&manual(page)) {
            assert!(codes.contains(&code), "{page}: {code}");
        }
    }
}

#[test]
fn namespaces_and_types_are_in_the_table_of_keys() {
    let keys = manual("docs/keys.md").replace("\\|", "!");
    for namespace in Namespace::ALL.iter().filter(|n| n.is_cached()) {
        let start = format!("| `misp-{}` | ", namespace.name());
        let row = keys.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("{start}"));
        let section = namespace.category().name();
        assert!(row.ends_with(&format!(" | {section} |")), "{row}");
    }
    for category in Category::ALL {
        let rows: Vec<&str> = keys.lines().filter(|l| l.ends_with(&format!(" | {} |", category.name()))).collect();
        for kind in MispType::all().filter(|t| t.category() == category) {
            let name = format!("`{}`", kind.name().replace('|', "!"));
            assert!(rows.iter().any(|row| row.contains(&name)), "{name}");
        }
    }
}

#[test]
fn the_readme_names_what_make_has() {
    let makefile = manual("Makefile");
    let readme = manual("README.md");
    for target in ["demo", "test", "build", "install"] {
        assert!(readme.contains(&format!("make {target}")), "{target}");
        assert!(makefile.contains(&format!("\n{target}:")), "{target}");
    }
}

/// Every test, with the module it is in: `misp::page` of `src/misp/page.rs`,
/// `edges::fleets` of `tests/it/edges/fleets.rs`.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories: Vec<(PathBuf, Vec<String>)> =
        vec![(root().join("src"), Vec::new()), (root().join("tests/it"), Vec::new())];
    while let Some((directory, module)) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut inner = module.clone();
            // The tests of a module may be in a file of their own.
            match stem.strip_suffix("_tests").unwrap_or(&stem) {
                "mod" | "tests" => {}
                name => inner.push(name.to_owned()),
            }
            if path.is_dir() {
                directories.push((path, inner));
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((inner.join("::"), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// Whether `misp::page::tests::lies` or `edges::fleets::each_server_holds_everything` is a test.
fn is_a_test(sources: &[(String, String)], test: &str) -> bool {
    let (module, name) = test.rsplit_once("::").unwrap();
    let module = module.strip_suffix("::tests").unwrap_or(module);
    let declared = format!("fn {name}(");
    let there = |text: &str| text.match_indices(&declared).any(|(at, _)| text[..at].trim_end().ends_with("#[test]"));
    sources.iter().any(|(m, text)| m == module && there(text))
}

/// `module::test` in any manual; Rust's other names with a `::` have a capital in them.
#[test]
fn every_test_that_is_named_exists() {
    let sources = sources();
    let mut named = 0;
    for (path, text) in manuals() {
        let prose = fences(&text).0;
        // An IPv6 address has digits at the beginning of a part.
        let is_word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        };
        let is_name = |span: &&str| span.split("::").all(is_word);
        for test in prose.split('`').skip(1).step_by(2).filter(|span| span.contains("::")).filter(is_name) {
            assert!(is_a_test(&sources, test), "{}: {test} does not exist", path.display());
            named += 1;
        }
    }
    assert!(named >= 100, "{named}");
}

/// Each fault names a test, and each test that is named exists.
#[test]
fn faults_are_shown_by_tests_that_there_are() {
    let manual = manual("docs/reliability.md");
    let (shown, not_shown) = manual.split_once("\n## Not shown by a test\n").unwrap();
    assert!(not_shown.contains("\n| "), "the table is gone");
    let sources = sources();
    let mut named = BTreeSet::new();
    let rows = shown.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| fault |"));
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 3, "{row}");
        let tests: Vec<&str> = cells[2].split('`').filter(|part| part.contains("::")).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(is_a_test(&sources, test), "{test} does not exist: {row}");
            named.insert(test);
        }
    }
    assert!(named.len() >= 80, "{}", named.len());
}
