//! The tables.

use std::collections::BTreeMap;
use std::fmt;

use crate::behaviour::{Answers, Question};
use crate::programs::Program;
use crate::statistics::Sample;
use crate::warm::Warm;

const MIB: usize = 1024 * 1024;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    RetagSmall,
    RetagIndex,
    /// The artifact of 100 MiB.
    Copy,
    /// One of another size, in bytes.
    CopyOf(usize),
}

/// Everything that was measured.
#[derive(Default)]
pub struct Report {
    pub machine: String,
    pub rounds: usize,
    pub requests: BTreeMap<(Job, Program), usize>,
    /// In seconds.
    pub times: BTreeMap<(Job, Program), Sample>,
    /// In MiB.
    pub memory: BTreeMap<(Job, Program), Sample>,
    pub warm: Warm,
    pub behaviour: Answers,
}

impl Job {
    /// Those whose requests are counted and whose time is taken.
    pub const TIMED: [Self; 3] = [Self::RetagSmall, Self::RetagIndex, Self::Copy];

    fn text(self) -> String {
        match self {
            Self::RetagSmall => "retag a small artifact".to_owned(),
            Self::RetagIndex => "retag an index with 3 children".to_owned(),
            Self::Copy => "copy 100 MiB in 4 blobs".to_owned(),
            Self::CopyOf(size) => format!("copy {} MiB in 4 blobs", size / MIB),
        }
    }

    /// For the names of tags and repositories.
    pub fn short(self) -> String {
        match self {
            Self::RetagSmall => "small".to_owned(),
            Self::RetagIndex => "index".to_owned(),
            Self::Copy => "copy".to_owned(),
            Self::CopyOf(size) => format!("copy{}", size / MIB),
        }
    }

    fn is_copy(self) -> bool {
        matches!(self, Self::Copy | Self::CopyOf(_))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        writeln!(f, "### Goals\n")?;
        self.goals(f)?;
        writeln!(f, "\n### Requests, to both registries together\n")?;
        table(f, &Program::ALL, &self.requests, |count| count.to_string())?;
        writeln!(
            f,
            "\n### Time of a whole process: median [lower quartile, upper quartile] of {} rounds\n",
            self.rounds
        )?;
        let times = self.times.iter().map(|((job, program), sample)| {
            let (factor, unit, digits) = if job.is_copy() {
                (1.0, "s", 3)
            } else {
                (1000.0, "ms", 1)
            };
            let [middle, low, high] = [0.5, 0.25, 0.75].map(|part| sample.quantile(part) * factor);
            let cell = format!("{middle:.digits$} {unit} [{low:.digits$}, {high:.digits$}]");
            ((*job, *program), cell)
        });
        table(f, &Program::ALL, &times.collect(), String::clone)?;
        writeln!(f, "\n### Most memory of the process (RSS), MiB\n")?;
        table(f, &Program::ALL, &self.memory, |sample| {
            format!("{:.1}", sample.median())
        })?;
        writeln!(f, "\n### What comes along, and what is refused\n")?;
        let programs = &Program::ALL[1..];
        head(f, programs)?;
        for question in Question::ALL {
            let cells = programs
                .iter()
                .map(|program| self.behaviour[&(question, *program)].clone());
            row(f, question.text(), cells)?;
        }
        Ok(())
    }
}

impl Report {
    /// What the project has promised, beside what was measured.
    fn goals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| | goal | measured | |\n|---|---|---|---|")?;
        let mut goal = |what: &str, most: f64, measured: f64, unit: &str| {
            let met = if measured <= most {
                "met"
            } else {
                "**missed**"
            };
            writeln!(
                f,
                "| {what} | ≤ {most}{unit} | {measured:.2}{unit} | {met} |"
            )
        };
        let requests = |job| self.requests[&(job, Program::Floe)] as f64;
        let ratio = |job, other| {
            let [ours, others] = [Program::Floe, other].map(|program| &self.times[&(job, program)]);
            ours.over(others).median()
        };
        goal("retag, requests", 4.0, requests(Job::RetagSmall), "")?;
        goal(
            "retag of an index, requests",
            4.0,
            requests(Job::RetagIndex),
            "",
        )?;
        goal(
            "retag, time / crane",
            0.9,
            ratio(Job::RetagSmall, Program::Crane),
            "",
        )?;
        goal(
            "retag of an index, time / crane",
            0.9,
            ratio(Job::RetagIndex, Program::Crane),
            "",
        )?;
        let warm = self.warm.floe.over(&self.warm.bare).median();
        goal(
            "retag in a running process, time / the same requests bare",
            1.2,
            warm,
            "",
        )?;
        let others = [
            Program::Crane,
            Program::Regctl,
            Program::RegctlAll,
            Program::Skopeo,
        ];
        let best = others
            .into_iter()
            .min_by(|one, two| {
                let median = |program: &Program| self.times[&(Job::Copy, *program)].median();
                median(one).total_cmp(&median(two))
            })
            .expect("there are others");
        let what = format!(
            "copy of 100 MiB, time / the best of the others ({})",
            best.name()
        );
        goal(&what, 1.0, ratio(Job::Copy, best), "")?;
        goal(
            "copy of 100 MiB, time / the floor",
            1.15,
            ratio(Job::Copy, Program::Floor),
            "",
        )?;
        let memory = |mib: usize| self.memory[&(Job::CopyOf(mib * MIB), Program::Floe)].median();
        let idle = self.memory[&(Job::RetagSmall, Program::Floe)].median();
        goal(
            "memory for 1 GiB above that of a retag",
            32.0,
            memory(1024) - idle,
            " MiB",
        )?;
        goal(
            "memory for 1 GiB / for 10 MiB",
            1.2,
            memory(1024) / memory(10),
            "",
        )
    }
}

fn head(f: &mut fmt::Formatter<'_>, programs: &[Program]) -> fmt::Result {
    row(
        f,
        "",
        programs.iter().map(|program| program.name().to_owned()),
    )?;
    writeln!(f, "|---|{}", "---|".repeat(programs.len()))
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, cells: impl Iterator<Item = String>) -> fmt::Result {
    let cells: Vec<String> = cells.collect();
    writeln!(f, "| {what} | {} |", cells.join(" | "))
}

/// One row for each job, one column for each program.
fn table<T>(
    f: &mut fmt::Formatter<'_>,
    programs: &[Program],
    cells: &BTreeMap<(Job, Program), T>,
    text: impl Fn(&T) -> String,
) -> fmt::Result {
    head(f, programs)?;
    let mut jobs: Vec<Job> = cells.keys().map(|(job, _)| *job).collect();
    jobs.dedup();
    for job in jobs {
        row(
            f,
            &job.text(),
            programs
                .iter()
                .map(|program| text(&cells[&(job, *program)])),
        )?;
    }
    Ok(())
}
