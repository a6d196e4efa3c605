//! What each program costs: requests, time, memory.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::place::{COPIED, INDEX, Place, SMALL};
use crate::programs::{Program, Tagged};
use crate::report::{Job, Report};
use crate::statistics::Sample;

/// Rounds in which memory is looked at: it hardly moves.
const ROUNDS_OF_MEMORY: usize = 3;

impl Job {
    /// The command that does it; `mark` makes its target one that was not there before.
    fn command(self, place: &Place, program: Program, mark: &str, counted: bool) -> Command {
        let (from, to) = if counted {
            (place.from_counted.address, place.to_counted.address)
        } else {
            (place.from.address, place.to.address)
        };
        let retag = |name| program.retag(&Tagged::new(from, name, "v1"), mark);
        let copy = |name: &str| {
            let target = format!("bench/{mark}");
            program.copy(
                &Tagged::new(from, name, "v1"),
                &Tagged::new(to, &target, "v1"),
            )
        };
        match self {
            Self::RetagSmall => retag(SMALL),
            Self::RetagIndex => retag(INDEX),
            Self::Copy => copy(COPIED),
            Self::CopyOf(size) => {
                let sized = place.sizes.iter().find(|(one, _)| *one == size);
                copy(sized.expect("an artifact of this size").1)
            }
        }
    }
}

/// Counts requests, once: they do not differ from one time to the next.
pub async fn requests(place: &Place, report: &mut Report) {
    for job in Job::TIMED {
        for program in Program::ALL {
            let mark = format!("counted-{}-{}", job.short(), slug(program));
            let command = job.command(place, program, &mark, true);
            place.from_counted.take_count();
            place.to_counted.take_count();
            finished(command).await;
            let count = place.from_counted.take_count() + place.to_counted.take_count();
            report.requests.insert((job, program), count);
        }
    }
}

/// Takes the time of whole processes, all programs in each round and each round beginning with another one.
pub async fn times(place: &Place, report: &mut Report) {
    let rounds = std::env::var("FLOE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(21);
    report.rounds = rounds;
    for job in Job::TIMED {
        let mut samples: BTreeMap<Program, Sample> = BTreeMap::new();
        // The first round warms the caches of disk and registry, and does not count.
        for round in 0..=rounds {
            for turn in 0..Program::ALL.len() {
                let program = Program::ALL[(turn + round) % Program::ALL.len()];
                let mark = format!("{}-{}-{round}", job.short(), slug(program));
                let command = job.command(place, program, &mark, false);
                let began = Instant::now();
                finished(command).await;
                let took = began.elapsed().as_secs_f64();
                if round > 0 {
                    samples.entry(program).or_default().push(took);
                }
            }
        }
        for (program, sample) in samples {
            report.times.insert((job, program), sample);
        }
    }
}

/// Looks at the most memory that each process had (GNU time).
pub async fn memory(place: &Place, report: &mut Report) {
    let mut jobs = vec![Job::RetagSmall];
    jobs.extend(place.sizes.iter().map(|(size, _)| Job::CopyOf(*size)));
    for job in jobs {
        for program in Program::ALL {
            let mut sample = Sample::default();
            for round in 0..ROUNDS_OF_MEMORY {
                let mark = format!("memory-{}-{}-{round}", job.short(), slug(program));
                let command = job.command(place, program, &mark, false);
                sample.push(peak(command).await);
            }
            report.memory.insert((job, program), sample);
        }
    }
}

fn slug(program: Program) -> String {
    program.name().replace(", ", "-")
}

/// Runs a command that has to succeed.
async fn finished(command: Command) {
    let said = format!("{command:?}");
    let output = run(command).await;
    assert!(
        output.status.success(),
        "{said}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a command; the thread of tokio stays free for the proxies.
pub async fn run(mut command: Command) -> std::process::Output {
    command.stdin(Stdio::null());
    let said = format!("{command:?}");
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("waiting does not panic")
        .unwrap_or_else(|why| panic!("cannot start {said}: {why}"))
}

/// The most memory that this command had, in MiB.
async fn peak(command: Command) -> f64 {
    let mut measured = Command::new("/usr/bin/time");
    measured
        .args(["--format=%M"])
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    let output = run(measured).await;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {text}");
    let last = text.lines().last().unwrap_or_default();
    let kib: f64 = last
        .parse()
        .unwrap_or_else(|_| panic!("no memory in {text}"));
    kib / 1024.0
}
