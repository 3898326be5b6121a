//! The figures, as a table for people (Markdown, so it can be put into the
//! documentation as it is) and as JSON.

use serde::Serialize;

/// The most that is still as the design wants it, or the least.
#[derive(Clone, Copy)]
pub enum Goal {
    None,
    AtMost(f64),
    AtLeast(f64),
}

/// One figure.
#[derive(Serialize)]
pub struct Row {
    what: String,
    figure: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<f64>,
    /// The figure as a share of its goal; for [`Goal::AtLeast`] the goal as a share
    /// of the figure. So 1 or less is good.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
    #[serde(skip)]
    at_least: bool,
}

/// All figures of a benchmark and what they were measured on.
#[derive(Serialize)]
pub struct Report {
    pub attributes: u32,
    pub per_event: u32,
    pub keys: usize,
    pub answer_bytes: usize,
    pub page_size: u32,
    pub connections: usize,
    pub transport: &'static str,
    pub repeats: usize,
    pub cores: usize,
    pub memcached: String,
    pub figures: Vec<Row>,
}

impl Report {
    /// Adds a figure.
    pub fn add(&mut self, what: impl Into<String>, figure: f64, unit: &'static str, goal: Goal) {
        let (value, ratio) = match goal {
            Goal::None => (None, None),
            // A goal of 0 has no share.
            Goal::AtMost(most) => (Some(most), (most > 0.0).then(|| figure / most)),
            Goal::AtLeast(least) => (Some(least), Some(least / figure)),
        };
        let met = match goal {
            Goal::None => None,
            Goal::AtMost(most) => Some(figure <= most),
            Goal::AtLeast(least) => Some(figure >= least),
        };
        let at_least = matches!(goal, Goal::AtLeast(_));
        self.figures.push(Row { what: what.into(), figure, unit, goal: value, ratio, met, at_least });
    }

    /// The table, with a line above it that says what was measured.
    pub fn table(&self) -> String {
        let head = ["what", "figure", "goal", "figure / goal", "met"].map(str::to_owned);
        let rows: Vec<[String; 5]> = std::iter::once(head).chain(self.figures.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [0, 1, 2, 3, 4].map(width);
        let mut out = format!(
            "{} attributes in events of {}, {} keys, {:.0} MB of JSON; pages of {}, {} connections, memcached over {}; \
             {} cores, {}; medians of {}.\n\n",
            self.attributes,
            self.per_event,
            self.keys,
            self.answer_bytes as f64 / 1e6,
            self.page_size,
            self.connections,
            self.transport,
            self.cores,
            self.memcached,
            self.repeats,
        );
        for (n, row) in rows.iter().enumerate() {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                // Words to the left, numbers to the right.
                out +=
                    &if matches!(column, 0 | 4) { format!("| {cell:width$} ") } else { format!("| {cell:>width$} ") };
            }
            out += "|\n";
            if n == 0 {
                let rule = |column: usize| match column {
                    0 | 4 => format!("| {} ", "-".repeat(widths[column])),
                    _ => format!("| {}: ", "-".repeat(widths[column] - 1)),
                };
                out += &format!("{}|\n", (0..5).map(rule).collect::<String>());
            }
        }
        out
    }
}

impl Row {
    fn cells(&self) -> [String; 5] {
        let sign = if self.at_least { "≥" } else { "≤" };
        [
            self.what.clone(),
            format!("{} {}", short(self.figure), self.unit).trim_end().to_owned(),
            self.goal
                .map_or(String::new(), |goal| format!("{sign} {} {}", short(goal), self.unit).trim_end().to_owned()),
            self.ratio.map_or(String::new(), |r| if self.at_least { short(1.0 / r) } else { short(r) }),
            self.met.map_or("", |met| if met { "yes" } else { "no" }).to_owned(),
        ]
    }
}

/// Three digits that count; whole numbers from 100 on, with commas.
fn short(figure: f64) -> String {
    if figure == 0.0 {
        return "0".into();
    }
    if figure < 0.995 {
        return format!("{figure:.3}");
    }
    if figure < 99.95 {
        return format!("{figure:.*}", if figure < 9.995 { 2 } else { 1 });
    }
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
