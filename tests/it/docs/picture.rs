//! docs/images/run.svg is what the program prints: the same commands are run against
//! the demo's sample MISP and a real memcached, and the picture's text is compared.
//!
//! After the output was changed on purpose, `UPDATE_GOLDEN=1 cargo test --test it
//! docs::picture` draws the picture anew.

use super::root;
use crate::getting_started::comparable;
use crate::support::program::run;
use crate::support::scene::now;
use crate::support::site::Site;
use misp2memcached::config::{self, Sources};
use misp2memcached::demo::{World, story};
use misp2memcached::pass::progress::Progress;
use misp2memcached::pass::run::{Options, run as pass};
use std::fs;

const FILE: &str = "docs/images/run.svg";

/// A letter's width and a line's height in the picture, for letters of 14 units.
const LETTER: (usize, usize) = (9, 20);

/// Room around the text, and above it for the bar of the window.
const MARGIN: (usize, usize) = (20, 52);

/// What is run, and what somebody does in between.
#[derive(Clone, Copy)]
enum Step {
    /// A pass as on a terminal, where it prints its table.
    Pass,
    /// A command with these arguments.
    Run(&'static [&'static str]),
    /// Somebody deletes the event that was a false alarm.
    Delete,
}

const STEPS: [(&str, Step); 5] = [
    ("$ misp2memcached", Step::Pass),
    (
        "$ misp2memcached lookup 'www[.]update-check[.]example' 198.51.100.17 CDN.False-Alarm.Example.",
        Step::Run(&["lookup", "www[.]update-check[.]example", "198.51.100.17", "CDN.False-Alarm.Example."]),
    ),
    ("# in MISP somebody deletes event 4: a false alarm. No time window could show that", Step::Delete),
    ("$ misp2memcached load --dry-run", Step::Run(&["load", "--dry-run"])),
    ("$ misp2memcached status", Step::Run(&["status"])),
];

/// What is on the terminal in the end.
fn screen() -> Vec<String> {
    let mut world = World::new();
    let story = story::fill(&mut world, now());
    let site = Site::new(world);
    let file = site.config.write();
    let (misp, server) = (site.misp.url(), site.memcached.server());
    let mut lines = Vec::new();
    for (typed, step) in STEPS {
        lines.push(typed.to_owned());
        let printed = match step {
            Step::Pass => {
                let config = config::load(&Sources { file: Some(file.clone()), ..Sources::default() }).unwrap().config;
                let silent = &Progress::new(false);
                pass(&config, &site.config.state(), Options::default(), silent, &mut std::io::sink()).unwrap().table()
            }
            Step::Run(arguments) => {
                let file = file.display().to_string();
                let finished = run(&[&["--config", &file], arguments].concat(), &[]);
                assert_eq!(finished.code, Some(0), "{arguments:?}: {}", finished.stderr);
                finished.stdout
            }
            Step::Delete => {
                site.misp.world().delete_event(story.false_alarm);
                continue;
            }
        };
        let printed = printed.replace(&misp, "https://misp.example").replace(&server, "127.0.0.1:11211");
        let printed = printed.replace(&site.config.state().display().to_string(), "/var/lib/misp2memcached");
        lines.extend(printed.lines().map(|l| l.trim_end().to_owned()));
        lines.push(String::new());
    }
    lines
}

/// The picture of these lines: a dark window, which reads well on any page.
fn drawn(lines: &[String]) -> String {
    let longest = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0);
    let (width, height) = (longest * LETTER.0 + 2 * MARGIN.0, lines.len() * LETTER.1 + MARGIN.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"A pass, look-ups, a deletion in MISP and the state of the cache in a terminal\">\n\
         <style>text {{ font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #c9d1d9; \
         white-space: pre }} .typed {{ fill: #7ee787 }} .said {{ fill: #e3b341 }}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#161b22\" stroke=\"#6e7681\"/>\n\
         <circle cx=\"22\" cy=\"18\" r=\"6\" fill=\"#ff7b72\"/><circle cx=\"42\" cy=\"18\" r=\"6\" fill=\"#e3b341\"/>\
         <circle cx=\"62\" cy=\"18\" r=\"6\" fill=\"#7ee787\"/>\n"
    );
    for (i, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
        let class = match line.chars().next() {
            Some('$') => " class=\"typed\"",
            Some('#') => " class=\"said\"",
            _ => "",
        };
        // Its length is given, so that columns stand below each other in every font.
        let (letters, y) = (line.chars().count() * LETTER.0, i * LETTER.1 + MARGIN.1);
        svg += &format!(
            "<text x=\"{}\" y=\"{y}\" textLength=\"{letters}\" xml:space=\"preserve\"{class}>{}</text>\n",
            MARGIN.0,
            line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        );
    }
    svg + "</svg>\n"
}

/// The text of a picture.
fn text_of(svg: &str) -> String {
    let texts = svg.lines().filter_map(|l| l.strip_prefix("<text ")?.split_once('>')?.1.strip_suffix("</text>"));
    let texts = texts.map(|t| t.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"));
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_picture_shows_what_is_printed() {
    let lines = screen();
    let path = root().join(FILE);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, drawn(&lines)).unwrap();
    }
    let shown = text_of(&fs::read_to_string(&path).unwrap());
    assert_eq!(comparable(&shown), comparable(&lines.join("\n")), "UPDATE_GOLDEN=1 draws {FILE} anew");
}
