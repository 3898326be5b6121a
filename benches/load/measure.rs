//! The order of things: data, baselines, then the program's runs, each checked.

use crate::baselines::{QuietSets, download, set_at_a_time};
use crate::check::{self, Questions};
use crate::dataset::{Dataset, FIRST_EVENT_ID};
use crate::expected::Expected;
use crate::http::Client;
use crate::memcached::{Memcached, version};
use crate::program::{Cost, Program, Settings};
use crate::replay::Process;
use crate::report::{Goal, Report};
use crate::{Options, Result, unix_now};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

/// The figures of the design (docs/performance.md says what each means).
const CPU_PER_ATTRIBUTE: f64 = 3.0;
const WALL_RATIO: f64 = 1.5;
const PEAK_MIB: f64 = 64.0;
const IDLE_SECONDS_PER_MILLION: f64 = 0.3;
const REFILL_SECONDS_PER_MILLION: f64 = 3.0;
const LOOKUPS_PER_SECOND: f64 = 300_000.0;

/// Passes with nothing to do; their median counts.
const IDLE_PASSES: usize = 5;

/// Events edited before the refresh, of 100.
const REFRESH_PERCENT: u32 = 1;

/// memcached gets 1 GiB, or this much an attribute where that is more: nothing may
/// be evicted while we measure. An item of the data takes 113 to 200 bytes.
const MEBIBYTES: u64 = 1024;
const BYTES_PER_ATTRIBUTE: u64 = 200;

/// One benchmark on its way.
struct Bench<'a> {
    options: &'a Options,
    directory: &'a Path,
    data: Dataset,
    server: Process,
    report: Report,
}

/// Runs everything and returns the figures.
pub fn run(options: &Options) -> Result<Report> {
    let directory = match &options.directory {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let data = Dataset::new(options.size.attributes, options.size.per_event)?;
    // Before minutes of work: is everything there?
    let program = if options.baselines_only { None } else { Some(Program::new(&options.program, directory.path())?) };
    eprintln!("server: rendering {} attributes", options.size.attributes);
    let start = Instant::now();
    let server = Process::start(options.size.attributes, options.size.per_event, unix_now())?;
    eprintln!("server: {} after {:.1} s; computing what must come out", server.address, start.elapsed().as_secs_f64());
    let report = Report {
        attributes: options.size.attributes,
        per_event: options.size.per_event,
        keys: 0,
        answer_bytes: 0,
        page_size: options.page_size,
        connections: options.connections,
        transport: if options.unix_socket { "a unix socket" } else { "TCP" },
        repeats: options.repeats,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memcached: version(),
        figures: Vec::new(),
    };
    let mut bench = Bench { options, directory: directory.path(), data, server, report };
    let data = bench.data.clone();
    let expected = Expected::new(&data);
    bench.report.keys = expected.keys();
    let (shared, values) = (data.shared_values(), data.values());
    eprintln!("data: {} keys; {shared} of {values} values are in several events", expected.keys());
    let slower = bench.baselines(&expected)?;
    if let Some(program) = program {
        bench.program(&program, &expected, slower)?;
    }
    Ok(bench.report)
}

impl Bench<'_> {
    /// Returns the seconds of the slower of download and quiet sets.
    fn baselines(&mut self, expected: &Expected) -> Result<f64> {
        let Options { page_size, connections, repeats, .. } = *self.options;
        let mut downloads = Vec::new();
        for _ in 0..repeats {
            let (took, bytes) = download(&self.server.address, &self.data, page_size, connections)?;
            eprintln!("baseline: download alone {:.2} s", took.as_secs_f64());
            downloads.push(took.as_secs_f64());
            self.report.answer_bytes = bytes;
        }
        let sets = QuietSets::render(expected);
        let mut writes = Vec::new();
        for _ in 0..repeats {
            let memcached = self.memcached()?;
            writes.push(sets.write(&memcached)?.as_secs_f64());
            eprintln!("baseline: quiet sets alone {:.2} s", writes[writes.len() - 1]);
            let items = memcached.stat("curr_items")?;
            if items != expected.keys() as u64 {
                return Err(format!("memcached holds {items} of {} keys that were written", expected.keys()).into());
            }
        }
        drop(sets);
        let naive = set_at_a_time(&self.memcached()?, expected)?.as_secs_f64();
        let (download, write) = (median(downloads), median(writes));
        self.report.add("baseline: download alone", download, "s", Goal::None);
        self.report.add("baseline: quiet sets alone", write, "s", Goal::None);
        self.report.add("baseline: one set at a time (reckoned)", naive, "s", Goal::None);
        Ok(download.max(write))
    }

    fn program(&mut self, program: &Program, expected: &Expected, slower: f64) -> Result<()> {
        let memcached = self.first_loads(program, expected, slower)?;
        self.idle_passes(program, &memcached, expected)?;
        let memcached = self.refill(program, memcached, expected)?;
        self.refresh(program, &memcached)?;
        self.lookups(program)
    }

    fn first_loads(&mut self, program: &Program, expected: &Expected, slower: f64) -> Result<Memcached> {
        let mut costs = Vec::new();
        for _ in 1..self.options.repeats {
            costs.push(self.first_load(program, expected)?.0);
        }
        let (cost, memcached) = self.first_load(program, expected)?;
        costs.push(cost);
        let wall = median(costs.iter().map(|cost| cost.wall).collect());
        let cpu = median(costs.iter().map(|cost| cost.cpu).collect());
        let peak = costs.iter().map(|cost| cost.peak).fold(0.0, f64::max);
        self.report.add("first load: wall", wall, "s", Goal::None);
        self.report.add("first load: wall / slower baseline", wall / slower, "", Goal::AtMost(WALL_RATIO));
        self.cpu("first load", cpu, self.options.size.attributes, Goal::AtMost(CPU_PER_ATTRIBUTE));
        self.report.add("first load: peak memory", peak, "MiB", Goal::AtMost(PEAK_MIB));
        Ok(memcached)
    }

    fn first_load(&self, program: &Program, expected: &Expected) -> Result<(Cost, Memcached)> {
        program.fresh_ledger()?;
        let memcached = self.memcached()?;
        program.configure(&Settings {
            memcached: memcached.address(),
            misp: &self.server.address,
            page_size: self.options.page_size,
            connections: self.options.connections,
        })?;
        let cost = self.pass("first load", program)?;
        check::cache(&memcached, expected).map_err(|e| format!("after the first load: {e}"))?;
        Ok((cost, memcached))
    }

    fn idle_passes(&mut self, program: &Program, memcached: &Memcached, expected: &Expected) -> Result<()> {
        let before = (self.searches()?, files(&program.state())?);
        let mut costs = Vec::new();
        for _ in 0..IDLE_PASSES {
            costs.push(self.pass("idle pass", program)?);
        }
        let searches = self.searches()? - before.0;
        let after = files(&program.state())?;
        let written = after.iter().filter(|(path, state)| before.1.get(*path) != Some(state)).count();
        check::cache(memcached, expected).map_err(|e| format!("after the idle passes: {e}"))?;
        let goal = Goal::AtMost(self.per_million(IDLE_SECONDS_PER_MILLION));
        self.report.add("idle pass: wall", median(costs.iter().map(|cost| cost.wall).collect()), "s", goal);
        let cpu = median(costs.iter().map(|cost| cost.cpu).collect());
        self.cpu("idle pass", cpu, self.options.size.attributes, Goal::None);
        self.report.add("idle pass: attribute requests", searches as f64, "", Goal::AtMost(0.0));
        self.report.add("idle pass: files written", written as f64, "", Goal::AtMost(0.0));
        Ok(())
    }

    fn refill(&mut self, program: &Program, mut memcached: Memcached, expected: &Expected) -> Result<Memcached> {
        memcached.restart()?;
        let cost = self.pass("refill", program)?;
        check::cache(&memcached, expected).map_err(|e| format!("after the refill: {e}"))?;
        let goal = Goal::AtMost(self.per_million(REFILL_SECONDS_PER_MILLION));
        self.report.add("refill after a restart of memcached: wall", cost.wall, "s", goal);
        self.cpu("refill", cost.cpu, self.options.size.attributes, Goal::None);
        Ok(memcached)
    }

    /// After the refill, because an event edited within the last hour is fetched again at every pass.
    fn refresh(&mut self, program: &Program, memcached: &Memcached) -> Result<()> {
        let touched = Client::connect(&self.server.address)?.json(
            "POST",
            "/bench/touch",
            &format!("{{\"percent\":{REFRESH_PERCENT}}}"),
        )?;
        let ids = touched["events"].as_array().ok_or("the server touched nothing")?;
        let events: Vec<u32> = ids.iter().filter_map(|id| id.as_u64()).map(|id| id as u32 - FIRST_EVENT_ID).collect();
        let attributes = events.len() as u32 * self.options.size.per_event;
        self.data.touch(events);
        let cost = self.pass("refresh", program)?;
        check::cache(memcached, &Expected::new(&self.data)).map_err(|e| format!("after the refresh: {e}"))?;
        self.report.add(format!("refresh of {REFRESH_PERCENT} % of the events: wall"), cost.wall, "s", Goal::None);
        self.cpu("refresh", cost.cpu, attributes, Goal::None);
        Ok(())
    }

    fn lookups(&mut self, program: &Program) -> Result<()> {
        let path = self.directory.join("values");
        let questions = Questions::write(&self.data, &Expected::new(&self.data), &path)?;
        let count = questions.count as f64;
        let (cost, answers) = program.lookup(&path)?;
        eprintln!("lookup: {:.2} s", cost.wall);
        questions.check(&answers)?;
        self.report.add("bulk look-up: values a second", count / cost.wall, "", Goal::AtLeast(LOOKUPS_PER_SECOND));
        self.report.add("bulk look-up: CPU a value", cost.cpu * 1e6 / count, "µs", Goal::None);
        Ok(())
    }

    fn pass(&self, what: &str, program: &Program) -> Result<Cost> {
        let cost = program.load().map_err(|e| format!("{what}: {e}"))?;
        eprintln!("{what}: {:.2} s, CPU {:.2} s, peak {:.1} MiB", cost.wall, cost.cpu, cost.peak);
        Ok(cost)
    }

    fn cpu(&mut self, what: &str, seconds: f64, attributes: u32, goal: Goal) {
        self.report.add(format!("{what}: CPU an attribute"), seconds * 1e6 / f64::from(attributes), "µs", goal);
    }

    /// The design's goal is for a million; more may take longer, fewer need not be faster.
    fn per_million(&self, goal: f64) -> f64 {
        goal * (f64::from(self.options.size.attributes) / 1e6).max(1.0)
    }

    fn memcached(&self) -> Result<Memcached> {
        let socket = self.options.unix_socket.then(|| self.directory.join("memcached.sock"));
        let needed = u64::from(self.options.size.attributes) * BYTES_PER_ATTRIBUTE / (1 << 20);
        Memcached::start(socket, needed.max(MEBIBYTES))
    }

    fn searches(&self) -> Result<u64> {
        let counts = Client::connect(&self.server.address)?.json("GET", "/bench/counts", "")?;
        Ok(counts["searches"].as_u64().ok_or("the server counts nothing")?)
    }
}

/// Size and time of each file of a directory.
fn files(directory: &Path) -> Result<BTreeMap<PathBuf, (u64, SystemTime)>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_file() {
            files.insert(entry.path(), (metadata.len(), metadata.modified()?));
        }
    }
    Ok(files)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
